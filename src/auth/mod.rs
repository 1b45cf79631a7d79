//! Who may do what: roles, API keys, passwords, sign-ins. What is stored where is somebody else's matter.

pub mod api_key;
pub mod jwt;
pub mod password;
pub mod supabase;
pub mod throttle;
pub mod token;

use serde::{Deserialize, Serialize};

/// What a member of a tenant is. Each may do all that the ones before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks on.
    Viewer,
    /// Answers customers.
    Agent,
    /// Runs numbers, chatbots and keys.
    Admin,
    /// Answers for the tenant itself, and for its people.
    Owner,
}

/// What a request needs. In the order of [`Role`]: the n-th role has the first n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// See conversations, deliveries, figures. Not a pairing QR: whoever sees one owns the number.
    Read,
    /// Reply, hand over and back, cancel, retry.
    Reply,
    /// Change numbers, sessions (their QR too), chatbots and API keys; export and erase contacts.
    Manage,
    /// Invite people, change what they may do, remove them.
    Own,
}

impl Role {
    /// Every role, least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Agent, Self::Admin, Self::Owner];

    /// Whether this role may do it.
    pub fn can(self, permission: Permission) -> bool {
        self as u8 >= permission as u8
    }

    /// Whether this role may give (or take) `other`: nobody lifts anybody above themselves.
    pub fn can_grant(self, other: Role) -> bool {
        self.can(Permission::Manage) && other <= self
    }

    /// The stored and served word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// An e-mail address as it is stored and looked up; `None` for what cannot be one.
pub fn email(text: &str) -> Option<String> {
    let address = text.trim().to_lowercase();
    let (who, host) = address.split_once('@')?;
    let clean = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
    let shaped = !who.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.');
    (shaped && address.len() <= 254 && who.chars().chain(host.chars()).all(clean)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_exactly_its_permissions() {
        use Permission::{Manage, Own, Read, Reply};
        for (role, allowed) in [
            (Role::Viewer, [true, false, false, false]),
            (Role::Agent, [true, true, false, false]),
            (Role::Admin, [true, true, true, false]),
            (Role::Owner, [true, true, true, true]),
        ] {
            assert_eq!(
                [Read, Reply, Manage, Own].map(|permission| role.can(permission)),
                allowed,
                "{role:?}"
            );
        }
    }

    #[test]
    fn nobody_lifts_anybody_above_themselves() {
        let granted = |by: Role| Role::ALL.map(|role| by.can_grant(role));
        assert_eq!(granted(Role::Viewer), [false; 4]);
        assert_eq!(granted(Role::Agent), [false; 4]);
        assert_eq!(granted(Role::Admin), [true, true, true, false]);
        assert_eq!(granted(Role::Owner), [true; 4]);
    }

    #[test]
    fn an_address_is_kept_in_one_form() {
        assert_eq!(email(" Ada@Example.COM\n"), Some("ada@example.com".to_owned()));
        for wrong in ["", "ada", "@example.com", "ada@", "ada@host", "a b@example.com", "a@b@c.de", "a@.de"] {
            assert_eq!(email(wrong), None, "{wrong:?}");
        }
        assert_eq!(email(&format!("{}@example.com", "x".repeat(250))), None);
    }

    #[test]
    fn words_are_those_of_the_contract() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert_eq!(Role::parse("Owner"), None);
    }
}
