//! What a customer may wish for in a word of their own: a person, silence, or an end of the silence.

/// A wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To talk to a person.
    Person,
    /// No more messages.
    Stop,
    /// Messages again.
    Start,
}

/// English, Spanish, Persian. Whole messages only: "I am not a human" asks for nobody.
const PERSON: &[&str] = &[
    "human",
    "a human",
    "agent",
    "person",
    "a person",
    "operator",
    "representative",
    "real person",
    "live agent",
    "human agent",
    "talk to a human",
    "talk to an agent",
    "talk to a person",
    "speak to a human",
    "speak to an agent",
    "speak to a person",
    "humano",
    "humana",
    "agente",
    "persona",
    "operador",
    "operadora",
    "asesor",
    "asesora",
    "agente humano",
    "hablar con un humano",
    "hablar con un agente",
    "hablar con una persona",
    "hablar con un asesor",
    "انسان",
    "اپراتور",
    "کارشناس",
    "پشتیبان انسانی",
    "صحبت با انسان",
    "صحبت با اپراتور",
    "صحبت با کارشناس",
];
const STOP: &[&str] =
    &["stop", "stop all", "stopall", "unsubscribe", "baja", "darme de baja", "لغو", "لغو اشتراک"];
const START: &[&str] = &["start", "unstop", "subscribe", "alta", "شروع"];

/// The wish of a message that says nothing else.
pub(super) fn wish(text: &str) -> Option<Wish> {
    // Longer than any of them: most messages need no further look.
    if text.len() > 80 {
        return None;
    }
    let words: Vec<String> = text
        .split(|c: char| c.is_whitespace() || (!c.is_alphanumeric() && c != '\u{200c}'))
        .filter(|word| !word.is_empty())
        .map(plain)
        .collect();
    let said = words.join(" ");
    let among = |list: &[&str]| list.contains(&said.as_str());
    match () {
        () if among(STOP) => Some(Wish::Stop),
        () if among(START) => Some(Wish::Start),
        () if among(PERSON) => Some(Wish::Person),
        () => None,
    }
}

/// Small letters; Arabic keyboards' forms of two Persian letters as Persian ones.
fn plain(word: &str) -> String {
    let letters = word.chars().flat_map(char::to_lowercase);
    letters
        .map(|c| match c {
            'ي' | 'ى' => 'ی',
            'ك' => 'ک',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_a_whole_message() {
        for (text, expected) in [
            ("STOP", Some(Wish::Stop)),
            (" Stop. ", Some(Wish::Stop)),
            ("¡BAJA!", Some(Wish::Stop)),
            ("لغو", Some(Wish::Stop)),
            ("Unsubscribe", Some(Wish::Stop)),
            ("start", Some(Wish::Start)),
            ("شروع", Some(Wish::Start)),
            ("Human", Some(Wish::Person)),
            ("agent please", None),
            ("Talk to a human!", Some(Wish::Person)),
            ("Operador", Some(Wish::Person)),
            ("اپراتور", Some(Wish::Person)),
            ("كارشناس", Some(Wish::Person)),
            ("please stop the delivery of my order", None),
            ("Where is the bus stop?", None),
            ("I am human", None),
            ("", None),
        ] {
            assert_eq!(wish(text), expected, "{text}");
        }
    }
}
