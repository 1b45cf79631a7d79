//! A phone that encrypts and decrypts: its Signal keys and its sessions, in memory.

use std::collections::HashMap;

use whatsapp_rust::Jid;
use whatsapp_rust::async_trait;
use whatsapp_rust::wacore::libsignal::protocol::error::Result;
use whatsapp_rust::wacore::libsignal::protocol::{
    CiphertextMessage, Direction, GenericSignedPreKey, IdentityChange, IdentityKey, IdentityKeyPair,
    IdentityKeyStore, KeyPair, PreKeyBundle, PreKeyId, PreKeyRecord, PreKeySignalMessage, PreKeyStore,
    ProtocolAddress, SessionRecord, SessionStore, SignalMessage, SignalProtocolError, SignedPreKeyId,
    SignedPreKeyRecord, SignedPreKeyStore, Timestamp, UsePQRatchet, message_decrypt, message_encrypt,
    process_prekey_bundle,
};
use whatsapp_rust::wacore::messages::{MessageUtils, decode_plaintext};
use whatsapp_rust::wacore::types::jid::JidExt;
use whatsapp_rust::waproto::whatsapp as wa;

/// One-time keys a phone has; whoever asks for its keys gets the next.
const ONE_TIME: u32 = 50;

/// A signed key, its signature, and a one-time key with its number.
type Bundle<'a> = (&'a KeyPair, &'a [u8], Option<(u32, Vec<u8>)>);

/// See above.
pub(super) struct Person {
    pub identity: KeyPair,
    pub registration: u32,
    signed: KeyPair,
    signature: Vec<u8>,
    one_time: HashMap<u32, KeyPair>,
    given: u32,
    sessions: Sessions,
    identities: Identities,
}

#[derive(Default)]
struct Sessions(HashMap<String, SessionRecord>);

struct Identities {
    own: IdentityKeyPair,
    registration: u32,
    known: HashMap<String, IdentityKey>,
}

struct OneTime<'a>(&'a mut HashMap<u32, KeyPair>);

struct Signed<'a>(&'a KeyPair, &'a [u8]);

/// One that may be carried over an await.
fn random() -> rand::rngs::StdRng {
    rand::make_rng()
}

impl Person {
    pub fn new() -> Self {
        let mut random = rand::rng();
        let [identity, signed] = [(); 2].map(|()| KeyPair::generate(&mut random));
        let signature = identity.private_key.calculate_signature(&signed.public_key.serialize(), &mut random);
        let signature = signature.expect("keys made here can sign").to_vec();
        let registration = 4_711;
        let own = IdentityKeyPair::new(IdentityKey::new(identity.public_key), identity.private_key.clone());
        Self {
            registration,
            signed,
            signature,
            one_time: (1..=ONE_TIME).map(|id| (id, KeyPair::generate(&mut random))).collect(),
            given: 0,
            sessions: Sessions::default(),
            identities: Identities { own, registration, known: HashMap::new() },
            identity,
        }
    }

    /// What the server hands to whoever wants to write to it: the signed key with its signature, and a one-time key.
    pub fn bundle(&mut self) -> Bundle<'_> {
        self.given += 1;
        let one_time = self.one_time.get(&self.given);
        let one_time = one_time.map(|key| (self.given, key.public_key.public_key_bytes().to_vec()));
        (&self.signed, &self.signature, one_time)
    }

    /// Whether it has talked with this device before.
    pub fn knows(&self, device: &Jid) -> bool {
        self.sessions.0.contains_key(device.to_protocol_address().as_str())
    }

    /// Begins to talk with a device, by the keys that it left at the server.
    pub async fn meet(&mut self, device: &Jid, bundle: &PreKeyBundle) -> Result<()> {
        let (address, mut random) = (device.to_protocol_address(), random());
        process_prekey_bundle(
            &address,
            &mut self.sessions,
            &mut self.identities,
            bundle,
            &mut random,
            UsePQRatchet::No,
        )
        .await
        .map(drop)
    }

    /// `pkmsg` or `msg`, and the bytes.
    pub async fn encrypt(&mut self, to: &Jid, message: &wa::Message) -> Result<(&'static str, Vec<u8>)> {
        let text = MessageUtils::encode_and_pad(message);
        let address = to.to_protocol_address();
        match message_encrypt(&text, &address, &mut self.sessions, &mut self.identities).await? {
            CiphertextMessage::PreKeySignalMessage(message) => Ok(("pkmsg", message.serialized().to_vec())),
            CiphertextMessage::SignalMessage(message) => Ok(("msg", message.serialized().to_vec())),
            _ => Err(SignalProtocolError::InvalidArgument("no message for one person".into())),
        }
    }

    /// What a device wrote.
    pub async fn decrypt(&mut self, from: &Jid, kind: &str, bytes: &[u8]) -> Option<wa::Message> {
        let message = match kind {
            "pkmsg" => CiphertextMessage::PreKeySignalMessage(PreKeySignalMessage::try_from(bytes).ok()?),
            _ => CiphertextMessage::SignalMessage(SignalMessage::try_from(bytes).ok()?),
        };
        let (address, mut random) = (from.to_protocol_address(), random());
        let read = message_decrypt(
            &message,
            &address,
            &mut self.sessions,
            &mut self.identities,
            &mut OneTime(&mut self.one_time),
            &Signed(&self.signed, &self.signature),
            &mut random,
            UsePQRatchet::No,
        )
        .await
        .ok()?;
        decode_plaintext(&read.plaintext, 2).ok()
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn load_session(&self, address: &ProtocolAddress) -> Result<Option<SessionRecord>> {
        Ok(self.0.get(address.as_str()).cloned())
    }

    async fn has_session(&self, address: &ProtocolAddress) -> Result<bool> {
        Ok(self.0.contains_key(address.as_str()))
    }

    async fn store_session(&mut self, address: &ProtocolAddress, record: SessionRecord) -> Result<()> {
        self.0.insert(address.as_str().to_owned(), record);
        Ok(())
    }
}

#[async_trait]
impl IdentityKeyStore for Identities {
    async fn get_identity_key_pair(&self) -> Result<IdentityKeyPair> {
        Ok(self.own.clone())
    }

    async fn get_local_registration_id(&self) -> Result<u32> {
        Ok(self.registration)
    }

    async fn save_identity(
        &mut self,
        address: &ProtocolAddress,
        identity: &IdentityKey,
    ) -> Result<IdentityChange> {
        self.known.insert(address.as_str().to_owned(), *identity);
        Ok(IdentityChange::NewOrUnchanged)
    }

    async fn is_trusted_identity(&self, _: &ProtocolAddress, _: &IdentityKey, _: Direction) -> Result<bool> {
        Ok(true)
    }

    async fn get_identity(&self, address: &ProtocolAddress) -> Result<Option<IdentityKey>> {
        Ok(self.known.get(address.as_str()).copied())
    }
}

#[async_trait]
impl PreKeyStore for OneTime<'_> {
    async fn get_pre_key(&self, id: PreKeyId) -> Result<PreKeyRecord> {
        let key = self.0.get(&id.into()).ok_or(SignalProtocolError::InvalidPreKeyId)?;
        Ok(PreKeyRecord::new(id, key))
    }

    async fn save_pre_key(&mut self, _: PreKeyId, _: &PreKeyRecord) -> Result<()> {
        Ok(())
    }

    async fn remove_pre_key(&mut self, id: PreKeyId) -> Result<()> {
        self.0.remove(&id.into());
        Ok(())
    }
}

#[async_trait]
impl SignedPreKeyStore for Signed<'_> {
    async fn get_signed_pre_key(&self, id: SignedPreKeyId) -> Result<SignedPreKeyRecord> {
        Ok(SignedPreKeyRecord::new(id, Timestamp::from_epoch_millis(0), self.0, self.1))
    }

    async fn save_signed_pre_key(&mut self, _: SignedPreKeyId, _: &SignedPreKeyRecord) -> Result<()> {
        Ok(())
    }
}
