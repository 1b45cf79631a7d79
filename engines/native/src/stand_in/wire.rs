//! A device's connection as the server sees it: the web socket, the Noise handshake, and stanzas in frames.

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Message, ServerBuilder, WebSocketStream};
use whatsapp_rust::anyhow::{self, Context, Result, ensure};
use whatsapp_rust::buffa::{Message as _, MessageField};
use whatsapp_rust::wacore::framing::{FrameDecoder, encode_frame};
use whatsapp_rust::wacore::handshake::{NoiseCipher, NoiseHandshake};
use whatsapp_rust::wacore::libsignal::protocol::KeyPair;
use whatsapp_rust::wacore_binary::Node;
use whatsapp_rust::wacore_binary::consts::{NOISE_PATTERN_XX, WA_CONN_HEADER};
use whatsapp_rust::wacore_binary::marshal::{marshal, unmarshal_ref};
use whatsapp_rust::wacore_binary::util::unpack;
use whatsapp_rust::waproto::whatsapp as wa;

/// What the device sends.
pub(super) struct Reader {
    socket: SplitStream<WebSocketStream<TcpStream>>,
    frames: FrameDecoder,
    /// Whether the greeting has been passed over.
    greeted: bool,
    cipher: Option<NoiseCipher>,
    count: u32,
}

/// What the server sends.
pub(super) struct Writer {
    socket: SplitSink<WebSocketStream<TcpStream>, Message>,
    cipher: Option<NoiseCipher>,
    count: u32,
}

/// Takes a connection and shakes hands; what the device says of itself.
pub(super) async fn accept(
    stream: TcpStream,
    server: &KeyPair,
) -> Result<(Reader, Writer, wa::ClientPayload)> {
    let (_, socket) = ServerBuilder::new().accept(stream).await?;
    let (sink, source) = socket.split();
    let mut writer = Writer { socket: sink, cipher: None, count: 0 };
    let mut reader =
        Reader { socket: source, frames: FrameDecoder::new(), greeted: false, cipher: None, count: 0 };

    let hello = wa::HandshakeMessage::decode_from_slice(&reader.frame().await?)?;
    let hello = hello.client_hello.into_option().context("no hello")?;
    let theirs = hello.ephemeral.context("no key in the hello")?;
    let mut noise = NoiseHandshake::new(NOISE_PATTERN_XX, &WA_CONN_HEADER)?;
    noise.authenticate(&theirs);
    let ours = KeyPair::generate(&mut rand::rng());
    noise.authenticate(ours.public_key.public_key_bytes());
    noise.mix_shared_secret(ours.private_key.serialize(), &theirs)?;
    let sealed_key = noise.encrypt(server.public_key.public_key_bytes())?;
    noise.mix_shared_secret(server.private_key.serialize(), &theirs)?;
    let sealed_certificate = noise.encrypt(&certificate(server))?;
    let answer = wa::HandshakeMessage {
        server_hello: MessageField::some(wa::handshake_message::ServerHello {
            ephemeral: Some(ours.public_key.public_key_bytes().to_vec()),
            r#static: Some(sealed_key),
            payload: Some(sealed_certificate),
            ..Default::default()
        }),
        ..Default::default()
    };
    writer.frame(&answer.encode_to_vec()).await?;

    let finish = wa::HandshakeMessage::decode_from_slice(&reader.frame().await?)?;
    let finish = finish.client_finish.into_option().context("no finish")?;
    let device = noise.decrypt(&finish.r#static.context("no key in the finish")?)?;
    noise.mix_shared_secret(ours.private_key.serialize(), &device)?;
    let payload = noise.decrypt(&finish.payload.context("nothing in the finish")?)?;
    let payload = wa::ClientPayload::decode_from_slice(&payload)?;
    // Its writing is our reading.
    let (theirs, ours) = noise.finish()?;
    (reader.cipher, writer.cipher) = (Some(theirs), Some(ours));
    Ok((reader, writer, payload))
}

/// Signed by nobody: only a device that skips signatures takes it.
fn certificate(server: &KeyPair) -> Vec<u8> {
    use wa::cert_chain::NoiseCertificate;
    use wa::cert_chain::noise_certificate::Details;
    let signed = |serial, issuer_serial, key: Vec<u8>| {
        let details = Details {
            serial: Some(serial),
            issuer_serial: Some(issuer_serial),
            key: Some(key),
            ..Default::default()
        };
        let details = Some(details.encode_to_vec());
        MessageField::some(NoiseCertificate { details, signature: Some(vec![0; 64]) })
    };
    let chain = wa::CertChain {
        intermediate: signed(1, 0, vec![1; 32]),
        leaf: signed(2, 1, server.public_key.public_key_bytes().to_vec()),
    };
    chain.encode_to_vec()
}

impl Reader {
    async fn frame(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(frame) = self.frames.decode_frame() {
                return Ok(frame.to_vec());
            }
            let message = self.socket.next().await.context("closed")??;
            ensure!(!message.is_close(), "closed");
            let mut bytes = &message.as_payload()[..];
            if !self.greeted && !bytes.is_empty() {
                ensure!(bytes.starts_with(&WA_CONN_HEADER), "another protocol");
                bytes = &bytes[WA_CONN_HEADER.len()..];
                self.greeted = true;
            }
            self.frames.feed(bytes);
        }
    }

    /// The next stanza.
    pub async fn stanza(&mut self) -> Result<Node> {
        let mut frame = self.frame().await?;
        let cipher = self.cipher.as_ref().context("no handshake yet")?;
        cipher.decrypt_in_place_with_counter(self.count, &mut frame)?;
        self.count += 1;
        Ok(unmarshal_ref(&unpack(&frame)?)?.to_owned())
    }
}

impl Writer {
    async fn frame(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.send(Message::binary(encode_frame(bytes, None)?)).await?)
    }

    /// Sends a stanza.
    pub async fn stanza(&mut self, node: &Node) -> Result<()> {
        let cipher = self.cipher.as_ref().context("no handshake yet")?;
        let sealed = cipher.encrypt_with_counter(self.count, &marshal(node)?)?;
        self.count += 1;
        self.frame(&sealed).await
    }

    /// Ends the connection.
    pub async fn close(&mut self) -> Result<()> {
        self.socket.close().await.map_err(anyhow::Error::from)
    }
}
