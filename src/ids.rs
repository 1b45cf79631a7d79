//! Names of things as types, so that a contact can never be passed where a conversation is meant.
//!
//! Outside the database every id is its public string: `acc_12`, `cnv_7`, a tenant's own word, a UUID.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::{NoContext, Timestamp, Uuid};

/// A string that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct InvalidId {
    /// What would have been right, e.g. "an id like acc_12".
    pub expected: &'static str,
}

/// Serde as the public string: the one form that leaves this program.
macro_rules! as_public_string {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! numbered {
    ($($name:ident $prefix:literal $what:literal;)*) => {$(
        #[doc = concat!("Id of ", $what, "; publicly `", $prefix, "12`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
        #[schema(value_type = String)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(row_number)
                    .map(Self)
                    .ok_or(InvalidId { expected: concat!("an id like ", $prefix, "12") })
            }
        }

        as_public_string!($name);
    )*};
}

numbered! {
    AccountId "acc_" "an account: one number serving one chatbot";
    ContactId "ctc_" "a contact";
    ThreadId "thr_" "a thread: a contact on a number";
    ConversationId "cnv_" "a conversation: a thread with one account";
    MessageId "msg_" "a message, either direction";
    DeliveryId "dlv_" "a delivery: an outgoing message";
    MediaId "med_" "a file";
    EventId "evt_" "a stored webhook event";
    InstanceId "ins_" "a running instance of this program";
    AlertId "alt_" "an alert";
    AccountEventId "aev_" "something Meta told of a business account";
}

/// Only the form that `Display` writes: no sign, no leading zero, at least 1. One row has one public name.
fn row_number(digits: &str) -> Option<i64> {
    let number: i64 = digits.parse().ok()?;
    (number > 0 && number.to_string() == digits).then_some(number)
}

macro_rules! named {
    ($($name:ident $what:literal;)*) => {$(
        #[doc = concat!("Id of ", $what, ", as its owner gave it: `^[A-Za-z0-9_.-]{1,64}$`.")]
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
        #[schema(value_type = String)]
        pub struct $name(String);

        impl $name {
            /// The id itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
                if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { expected: "1 to 64 letters, digits, dots, hyphens or underscores" })
                }
            }
        }

        as_public_string!($name);
    )*};
}

named! {
    TenantId "a tenant";
    ChatbotId "a chatbot";
}

impl TenantId {
    /// An id that was checked when it was stored.
    pub fn trusted(stored: &str) -> Self {
        Self(stored.to_owned())
    }

    /// The tenant that exists from the first start; a platform key acts for it unless told otherwise.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }
}

macro_rules! unguessed {
    ($($name:ident $what:literal;)*) => {$(
        #[doc = concat!("Id of ", $what, ": a UUID v7, so that it may be made before its row and still sorts by time.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
        #[schema(value_type = String)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id at `now_ms`, Unix milliseconds. Two of the same millisecond differ by 74 random bits.
            pub fn new(now_ms: i64) -> Self {
                let ms = now_ms.max(0).unsigned_abs();
                let nanos = (ms % 1000) as u32 * 1_000_000;
                Self(Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, nanos)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId { expected: "a UUID" })
            }
        }

        as_public_string!($name);
    )*};
}

unguessed! {
    TurnId "a turn; also its `Idempotency-Key` at the responder";
    AttemptId "an attempt; also what Meta echoes in `biz_opaque_callback_data`";
    UserId "a person who may sign in";
    EventEndpointId "an event endpoint: where a tenant's own systems hear of what happens";
    EventDeliveryId "one event for one endpoint; also its `webhook-id`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_public_form() {
        assert_eq!(AccountId(12).to_string(), "acc_12");
        assert_eq!("acc_12".parse(), Ok(AccountId(12)));
        assert_eq!(format!("msg_{}", i64::MAX).parse(), Ok(MessageId(i64::MAX)));
        for wrong in [
            "",
            "12",
            "acc_",
            "acc_0",
            "acc_-1",
            "acc_+1",
            "acc_01",
            "acc_1 ",
            "ctc_1",
            "ACC_1",
            "acc_99999999999999999999",
        ] {
            assert!(wrong.parse::<AccountId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_is_kept_as_given_or_refused() {
        for right in ["5", "ecommerce-chatbot-id", "a.b_C-9", &"x".repeat(64)] {
            assert_eq!(right.parse::<TenantId>().unwrap().as_str(), right);
        }
        for wrong in ["", " a", "a/b", "a\n", "é", "a%20", &"x".repeat(65)] {
            assert!(wrong.parse::<ChatbotId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn json_carries_the_public_form() {
        let tenant = TenantId::default_tenant();
        assert_eq!(serde_json::to_string(&(DeliveryId(3), &tenant)).unwrap(), r#"["dlv_3","default"]"#);
        assert_eq!(
            serde_json::from_str::<(DeliveryId, TenantId)>(r#"["dlv_3","default"]"#).unwrap(),
            (DeliveryId(3), tenant)
        );
        assert!(serde_json::from_str::<TenantId>(r#""a b""#).is_err());
        assert!(serde_json::from_str::<DeliveryId>("3").is_err());
    }

    #[test]
    fn turns_sort_by_time_and_never_repeat() {
        let [first, second, later] = [TurnId::new(1_000), TurnId::new(1_000), TurnId::new(1_001)];
        assert_ne!(first, second);
        assert!(first < later && second < later);
        assert_eq!(first.0.get_version_num(), 7);
        assert_eq!(first.to_string().parse(), Ok(first));
        assert_eq!(first.0.get_timestamp().unwrap().to_unix(), (1, 0));
    }
}
