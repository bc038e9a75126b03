//! The records that are registered: entries of 400 to 600 bytes, as those of real services are.

use std::fmt::Write as _;

/// Digits of a record's number, so that all records of a shape are of one size.
const DIGITS: usize = 9;
/// Shapes of a record, by what it depends on; the number chooses.
const SHAPES: u64 = 5;

/// Makes records without formatting each anew.
#[derive(Debug, Clone)]
pub(crate) struct Records(Vec<Template>);

#[derive(Debug, Clone)]
struct Template {
    bytes: Vec<u8>,
    /// Where the number stands.
    at: Vec<usize>,
}

impl Records {
    pub(crate) fn new() -> Self {
        Self((0..SHAPES).map(Template::new).collect())
    }

    /// Appends the record of that number, as JSON.
    pub(crate) fn write(&self, number: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        let template = self.of(number);
        out.extend_from_slice(&template.bytes);
        for at in &template.at {
            write_digits(number, &mut out[begin + at..begin + at + DIGITS]);
        }
    }

    pub(crate) fn bytes(&self, number: u64) -> usize {
        self.of(number).bytes.len()
    }

    fn of(&self, number: u64) -> &Template {
        let shape = usize::try_from(number % SHAPES).expect("there are few shapes");
        &self.0[shape]
    }
}

impl Template {
    fn new(shape: u64) -> Self {
        let hole = "#".repeat(DIGITS);
        let mut text = format!(
            "{{\"name\":\"bench-{hole}\",\"version\":\"1.{hole}.0\",\"execution\":{{\"docker_container\":{{\
             \"container_id\":\"4f6b2c0f8d1e\",\"image\":\"registry.example.net/load/bench:1.{hole}.0\"}}}},\
             \"location\":\"local\",\"endpoints\":[\
             {{\"name\":\"http\",\"address\":\"10.1.2.3:8080\",\"protocol\":\"http\"}},\
             {{\"name\":\"metrics\",\"address\":\"10.1.2.3:9090\",\"protocol\":\"http\"}}],\
             \"depends_on\":[\"collector\",\"database\",\"message-broker-eu-west\",\"queue\""
        );
        for dependency in 0..shape {
            write!(text, ",\"upstream-service-number-{dependency}\"").expect("a String takes it");
        }
        text.push_str("]}");
        let at = text.match_indices(&hole).map(|(at, _)| at).collect();
        Self {
            bytes: text.into_bytes(),
            at,
        }
    }
}

/// Appends the name of that number.
pub(crate) fn write_name(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"bench-");
    write_number(number, out);
}

/// Bytes of a name.
pub(crate) const NAME_BYTES: usize = 6 + DIGITS;

/// Appends the number as the names have it.
pub(crate) fn write_number(number: u64, out: &mut Vec<u8>) {
    let begin = out.len();
    out.resize(begin + DIGITS, b'0');
    write_digits(number, &mut out[begin..]);
}

fn write_digits(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("it is one digit");
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_json_of_the_promised_size() {
        let records = Records::new();
        for number in [0, 7, 99_998, 123_456_789] {
            let mut bytes = Vec::new();
            records.write(number, &mut bytes);
            let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(read["name"], format!("bench-{number:09}"));
            assert_eq!(bytes.len(), records.bytes(number));
            assert!((400..=600).contains(&bytes.len()), "{}", bytes.len());
        }
    }

    #[test]
    fn name_has_its_size() {
        let mut name = Vec::new();
        write_name(42, &mut name);
        assert_eq!(name, b"bench-000000042");
        assert_eq!(name.len(), NAME_BYTES);
    }
}
