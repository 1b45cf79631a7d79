//! Files at Meta: asking where one is, fetching it, uploading one; and what WhatsApp takes as which kind.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::once;
use futures_util::{Stream, StreamExt};
use reqwest::{Body, Method};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::client::{Credentials, GraphClient, SendFailure, bearer};
use super::multipart::{self, Part};

/// Largest file that WhatsApp takes, in bytes: a document.
pub const LARGEST: usize = 100 << 20;

/// Where Meta's files live, beside the Graph API itself.
const FILES: &str = "lookaside.fbsbx.com";
/// How long a transfer may take.
pub const TRANSFER: Duration = Duration::from_secs(300);

/// What Meta says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaInfo {
    /// Good for five minutes.
    pub url: Url,
    /// Its type.
    pub mime_type: Option<String>,
    /// Its digest, in hex or base64.
    pub sha256: Option<String>,
    /// In bytes.
    pub size: Option<u64>,
}

/// A file that comes piece by piece, as the network has it.
pub struct Download {
    response: reqwest::Response,
    left: usize,
}

impl Download {
    /// The next bytes; none: that was all.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchFailure> {
        let Some(bytes) = self.response.chunk().await.map_err(SendFailure::from)? else { return Ok(None) };
        self.left = self.left.checked_sub(bytes.len()).ok_or(FetchFailure::TooLarge)?;
        Ok(Some(bytes))
    }
}

/// Why a file was not fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchFailure {
    /// Meta refused, or did not answer.
    #[error(transparent)]
    Graph(#[from] SendFailure),
    /// Larger than [`LARGEST`].
    #[error("the file is larger than {LARGEST} bytes")]
    TooLarge,
    /// The address is none of Meta's: no token goes there.
    #[error("the file lives at an address that must not see the token")]
    ForeignHost,
}

impl GraphClient {
    /// Asks where a file is.
    pub async fn media_info(
        &self,
        phone_number_id: &str,
        credentials: &Credentials,
        id: &str,
    ) -> Result<MediaInfo, FetchFailure> {
        let query = [("phone_number_id", phone_number_id)];
        let answer = self.call(Method::GET, &[id], &query, credentials, None).await?;
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let url = text(&answer["url"]).and_then(|url| Url::parse(&url).ok());
        Ok(MediaInfo {
            url: url.ok_or_else(|| SendFailure::lost("a file without an address"))?,
            mime_type: text(&answer["mime_type"]),
            sha256: text(&answer["sha256"]),
            size: answer["file_size"].as_u64().or_else(|| answer["file_size"].as_str()?.parse().ok()),
        })
    }

    /// Fetches a file. Its address is short-lived: after a failure ask for it again.
    pub async fn download(
        &self,
        credentials: &Credentials,
        info: &MediaInfo,
    ) -> Result<Download, FetchFailure> {
        if !self.may_see_a_token(&info.url) {
            return Err(FetchFailure::ForeignHost);
        }
        if info.size.is_some_and(|size| size > LARGEST as u64) {
            return Err(FetchFailure::TooLarge);
        }
        let authorization = bearer(credentials.token.expose_secret())?;
        let request =
            self.http.get(info.url.clone()).timeout(TRANSFER).header("Authorization", authorization);
        let response = request.send().await.map_err(SendFailure::from)?;
        if !response.status().is_success() {
            return Err(SendFailure::lost(format!("the file is answered with {}", response.status())).into());
        }
        Ok(Download { response, left: LARGEST })
    }

    /// Uploads a file of `size` bytes for messages of this number; Meta keeps it for thirty days under the ID returned. Uploading twice
    /// does no harm, so no failure is ambiguous.
    pub async fn upload<E: std::error::Error + Send + Sync + 'static>(
        &self,
        phone_number_id: &str,
        credentials: &Credentials,
        mime_type: &str,
        filename: &str,
        size: u64,
        content: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<String, SendFailure> {
        let text = |name: &str, content| Part { name: name.to_owned(), content, ..Part::default() };
        let file = Part {
            filename: Some(filename.to_owned()),
            mime_type: Some(mime_type.to_owned()),
            ..text("file", b"")
        };
        let parts = [text("messaging_product", b"whatsapp"), text("type", mime_type.as_bytes()), file];
        let boundary = Uuid::new_v4().simple().to_string();
        let (kind, mut before) = multipart::write(&boundary, &parts);
        // The file's bytes go where the last part is still empty.
        let after = format!("\r\n--{boundary}--\r\n");
        before.truncate(before.len() - after.len());
        let length = (before.len() + after.len()) as u64 + size;
        let whole = |bytes: Vec<u8>| once(ready(Ok(Bytes::from(bytes))));
        let body = whole(before).chain(content).chain(whole(after.into_bytes()));
        let path = [phone_number_id, "media"];
        let request = self.authorized(Method::POST, &path, &[], credentials)?.timeout(TRANSFER);
        let request = request.header("Content-Type", kind).header("Content-Length", length);
        let request = request.body(Body::wrap_stream(body));
        let answer =
            Self::answer(request, credentials.token.expose_secret()).await.map_err(
                |failure| match failure {
                    SendFailure::Ambiguous { detail, .. } => SendFailure::NotSent(detail),
                    other => other,
                },
            )?;
        let id = answer["id"].as_str().filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| SendFailure::NotSent("an upload without an ID".to_owned()))
    }

    /// The Graph API's own address, and Meta's files over TLS.
    fn may_see_a_token(&self, url: &Url) -> bool {
        url.origin() == self.root.origin() || (url.scheme() == "https" && url.host_str() == Some(FILES))
    }
}

/// Whether WhatsApp takes a file of this type and size as an image, a document, and so on; otherwise what it takes.
pub fn fits(kind: &str, mime_type: &str, size: usize) -> Result<(), String> {
    const MB: usize = 1 << 20;
    let (types, most): (&[&str], usize) = match kind {
        "image" => (&["image/jpeg", "image/png"], 5 * MB),
        "video" => (&["video/mp4", "video/3gpp"], 16 * MB),
        "audio" => (&["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"], 16 * MB),
        "sticker" => (&["image/webp"], 500 << 10),
        _ => (&[], LARGEST),
    };
    let bare = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !types.is_empty() && !types.contains(&bare.as_str()) {
        return Err(format!("must be {} to be sent as {kind}", types.join(" or ")));
    }
    if size > most {
        return Err(format!("may have {most} bytes to be sent as {kind}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::client::tests::{answer, credentials, serve};
    use super::*;

    #[test]
    fn kinds_have_their_types_and_sizes() {
        for (kind, mime_type, size) in [
            ("image", "image/png", 5 << 20),
            ("audio", "audio/ogg; codecs=opus", 16 << 20),
            ("video", "VIDEO/MP4", 1),
            ("sticker", "image/webp", 500 << 10),
            ("document", "application/x-anything", 100 << 20),
        ] {
            assert_eq!(fits(kind, mime_type, size), Ok(()), "{kind}");
        }
        for (kind, mime_type, size) in [
            ("image", "image/webp", 1),
            ("image", "image/png", (5 << 20) + 1),
            ("sticker", "image/webp", (500 << 10) + 1),
            ("audio", "video/mp4", 1),
            ("video", "video/mp4", (16 << 20) + 1),
            ("document", "application/pdf", (100 << 20) + 1),
        ] {
            assert!(fits(kind, mime_type, size).is_err(), "{kind}");
        }
    }

    #[tokio::test]
    async fn the_token_goes_to_meta_alone() {
        let (client, server) =
            serve(vec![answer("200 OK", "bytes"), answer("302 Found\r\nLocation: http://x", "")]);
        let at =
            |url: &str| MediaInfo { url: url.parse().unwrap(), mime_type: None, sha256: None, size: None };
        let own = client.root.join("/file").unwrap();
        let mut file = client.download(&credentials(), &at(own.as_str())).await.unwrap();
        assert_eq!(file.next().await, Ok(Some(Bytes::from_static(b"bytes"))));
        assert_eq!(file.next().await, Ok(None));
        let refused = async |at| client.download(&credentials(), &at).await.err();
        let moved = refused(at(own.as_str())).await;
        assert!(matches!(moved, Some(FetchFailure::Graph(SendFailure::Ambiguous { .. }))), "{moved:?}");
        for foreign in [
            "https://lookaside.fbsbx.com.evil.example/x",
            "http://lookaside.fbsbx.com/x",
            "http://127.0.0.1:1/x",
        ] {
            assert_eq!(refused(at(foreign)).await, Some(FetchFailure::ForeignHost), "{foreign}");
        }
        assert!(client.may_see_a_token(&"https://lookaside.fbsbx.com/x?y".parse().unwrap()));
        let large = MediaInfo { size: Some(LARGEST as u64 + 1), ..at(own.as_str()) };
        assert_eq!(refused(large).await, Some(FetchFailure::TooLarge));
        assert!(server.join().unwrap()[0].to_lowercase().contains("authorization: bearer eaatoken"));
    }
}
