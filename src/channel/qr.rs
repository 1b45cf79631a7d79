//! A QR code as a picture: SVG, PNG, or a data URL.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use qrcode::{Color, EcLevel, QrCode};

/// White modules around it; the standard wants four.
const QUIET: usize = 4;
/// Pixels of a module in the PNG.
const SCALE: usize = 8;

/// The modules of a code, dark or not.
pub struct Picture {
    width: usize,
    dark: Vec<bool>,
}

impl Picture {
    /// Of this text; `None`: it is too long for any code.
    pub fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        let dark = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
        Some(Self { width: code.width(), dark })
    }

    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |n: usize| n.checked_sub(QUIET).filter(|n| *n < self.width);
        matches!((inside(x), inside(y)), (Some(x), Some(y)) if self.dark[y * self.width + x])
    }

    /// Modules of a side, the white ones around it included.
    pub fn side(&self) -> usize {
        self.width + 2 * QUIET
    }

    /// What is dark, as a path of SVG, a unit for each module.
    pub fn path(&self) -> String {
        let side = self.side();
        let mut path = String::new();
        for y in 0..side {
            let mut x = 0;
            while x < side {
                let length = (x..side).take_while(|x| self.is_dark(*x, y)).count();
                if length > 0 {
                    path.push_str(&format!("M{x} {y}h{length}v1h-{length}z"));
                }
                x += length.max(1);
            }
        }
        path
    }

    /// As a drawing, for any size.
    pub fn svg(&self) -> String {
        let (side, path) = (self.side(), self.path());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
             <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
        )
    }

    /// As pixels: black and white, one bit each.
    pub fn png(&self) -> Vec<u8> {
        let side = self.side() * SCALE;
        let mut rows = Vec::with_capacity(side * (side / 8 + 2));
        for y in 0..side {
            rows.push(0); // no filter
            for byte in 0..side.div_ceil(8) {
                let bits = (0..8).map(|bit| byte * 8 + bit).map(|x| !self.is_dark(x / SCALE, y / SCALE));
                rows.push(bits.fold(0, |byte, white| byte << 1 | u8::from(white)));
            }
        }
        let mut header = Vec::new();
        for _ in 0..2 {
            header.extend((side as u32).to_be_bytes());
        }
        header.extend([1, 0, 0, 0, 0]); // one bit, grey, nothing special
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in [(b"IHDR", header), (b"IDAT", stored(&rows)), (b"IEND", Vec::new())] {
            png.extend((data.len() as u32).to_be_bytes());
            let start = png.len();
            png.extend(kind);
            png.extend(data);
            let sum = crc(&png[start..]);
            png.extend(sum.to_be_bytes());
        }
        png
    }

    /// As the address of itself.
    pub fn data_url(&self) -> String {
        format!("data:image/png;base64,{}", BASE64_STANDARD.encode(self.png()))
    }
}

/// zlib's format without compressing anything: a code is a few kilobytes.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = data.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_holds_the_code_and_its_quiet_zone() {
        let picture = Picture::of("2@abc,def,ghi").unwrap();
        assert!((0..picture.side()).all(|n| !picture.is_dark(n, 0) && !picture.is_dark(0, n)));
        assert!(picture.is_dark(QUIET, QUIET), "a finder pattern stands in the corner");
        let svg = picture.svg();
        assert!(svg.starts_with("<svg") && svg.matches("<path").count() == 1, "{svg}");
        assert!(Picture::of(&"x".repeat(3_000)).is_none());
    }

    #[test]
    fn a_png_is_one_by_its_sums_and_sizes() {
        // As every encoder computes them.
        assert_eq!(crc(b"IEND"), 0xae42_6082);
        assert_eq!(stored(b"abc")[..], [0x78, 1, 1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c', 2, 0x4d, 1, 0x27]);
        let picture = Picture::of("2@abc").unwrap();
        let (png, side) = (picture.png(), (picture.side() * SCALE) as u32);
        assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
        assert_eq!(png[16..20], side.to_be_bytes());
        assert!(png.len() > (side * side / 8) as usize && png.ends_with(&0xae42_6082_u32.to_be_bytes()));
        assert!(picture.data_url().starts_with("data:image/png;base64,iVBORw0KGgo"));
    }
}
