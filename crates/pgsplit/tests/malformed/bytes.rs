//! Malformed messages, made by a repeatable dice.

use pgsplit_testkit::peer::message;

/// All types of the frontend, but Terminate.
const TYPES: &[u8] = b"QPBDECSHFdcfp";

/// Random numbers (splitmix64): the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Changes a few bytes, cuts, or doubles a part.
    fn mutate(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(at..),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = self.next().to_le_bytes()[0];
                    }
                }
            }
        }
        bytes
    }
}

/// A type and a length that does not fit.
fn header(tag: u8, length: i32) -> Vec<u8> {
    [vec![tag], length.to_be_bytes().to_vec()].concat()
}

/// What attackers send.
pub(crate) struct Inputs;

impl Inputs {
    /// In place of a start-up packet.
    pub(crate) fn packets(dice: &mut Dice) -> Vec<Vec<u8>> {
        let good = || {
            let parameters =
                [("user", "app"), ("database", "app"), ("application_name", "x"), ("options", "-c a.b=c")];
            message::startup(message::VERSION_3_0, &parameters)
        };
        let mut packets: Vec<_> = (0..good().len()).map(|at| good()[..at].to_vec()).collect();
        for length in [0, 1, 3, 4, 5, 7, 8, 9_999, 10_000, 10_001, i32::MAX, i32::MIN, -1] {
            packets.push([length.to_be_bytes().to_vec(), dice.bytes(64)].concat());
            packets.push([length.to_be_bytes().to_vec(), good()[4..].to_vec()].concat());
        }
        for code in
            [80_877_102_u32, 80_877_103, 80_877_104, 80_877_105, 0, u32::MAX, 0x0002_0000, 0x0003_ffff]
        {
            for _ in 0..4 {
                packets.push(message::untagged(&[code.to_be_bytes().to_vec(), dice.bytes(300)].concat()));
            }
            packets.push(message::untagged(&code.to_be_bytes()));
        }
        packets.push([message::ssl_request(), good()].concat());
        packets.push([message::ssl_request(), dice.bytes(50)].concat());
        packets.push([message::ssl_request(), message::gss_request(), message::ssl_request()].concat());
        packets.push([vec![0x16, 3, 1], dice.bytes(400)].concat());
        packets.push(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec());
        packets.push(message::untagged(&[&b"\0\x03\0\0user\0app\0"[..], &vec![b'a'; 9_900]].concat()));
        packets.push(message::startup(message::VERSION_3_0, &[("x", "y"); 1_200]));
        packets.extend((0..60).map(|_| dice.bytes(200)));
        packets.extend((0..120).map(|_| dice.mutate(good())));
        packets
    }

    /// In place of SASLInitialResponse (`false`) or SASLResponse (`true`).
    pub(crate) fn password_messages(dice: &mut Dice) -> Vec<(bool, Vec<u8>)> {
        let mut all = Vec::new();
        for challenge in [false, true] {
            let mut one = |bytes: Vec<u8>| all.push((challenge, bytes));
            TYPES.iter().chain(b"Xz\0\xff").for_each(|tag| one(message::frame(*tag, &dice.bytes(100))));
            for length in [0, 3, 4, -1, 16_384 + 5, 1 << 20, i32::MAX, i32::MIN] {
                one([header(b'p', length), dice.bytes(50)].concat());
            }
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN", "", "SCRAM-SHA-1"] {
                one(message::sasl_initial_response(mechanism, &dice.bytes(100)));
                one(message::sasl_initial_response(mechanism, b"n,,n=,r="));
                one(message::sasl_initial_response(mechanism, b"p=tls-server-end-point,,n=,r=abc"));
                one(message::sasl_initial_response(mechanism, b"y,,n=,r=abc,r=abc,p=x"));
            }
            one(message::sasl_initial_response("SCRAM-SHA-256", &vec![b'n'; 16_000]));
            one(message::sasl_initial_response("SCRAM-SHA-256", &vec![b'n'; 100_000]));
            one(message::password("app-secret"));
            for text in [
                "c=biws,r=0123456789abcdefghij,p=AAAA",
                "c=biws,r=,p=",
                "c=,r=x,p=!",
                "p=AAAA",
                "",
                ",,,,",
                "c=biws",
            ] {
                one(message::sasl_response(text.as_bytes()));
            }
            let good = message::sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=0123456789abcdefghij");
            (0..good.len()).step_by(3).for_each(|at| one(good[..at].to_vec()));
            (0..25).for_each(|_| one(dice.mutate(good.clone())));
            (0..25).for_each(|_| one(message::sasl_response(&dice.bytes(300))));
        }
        // A first message that is good is no malformed one.
        all.retain(|(_, bytes)| !bytes.ends_with(b"\0\0\0\x1cn,,n=,r=0123456789abcdefghij"));
        all
    }

    /// Headers after login that no message can have.
    pub(crate) fn lengths(dice: &mut Dice) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for tag in TYPES.iter().chain(b"X") {
            for length in [0, 1, 3, -1, i32::MIN, i32::MAX, 0x4000_0003] {
                all.push([header(*tag, length), dice.bytes(30)].concat());
            }
            if !b"QPBFd".contains(tag) {
                all.push([header(*tag, 10_005), dice.bytes(30)].concat());
            }
        }
        let unknown = (0..=255).filter(|tag| !TYPES.contains(tag) && *tag != b'X');
        all.extend(unknown.step_by(5).map(|tag| message::frame(tag, b"x\0")));
        all
    }

    /// Whole messages with bodies that are not theirs.
    pub(crate) fn bodies(dice: &mut Dice) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for tag in TYPES {
            all.push(message::frame(*tag, b""));
            all.push(message::frame(*tag, b"\0"));
            all.extend((0..5).map(|_| message::frame(*tag, &dice.bytes(60))));
            // Behind something good, and in a copy.
            all.push([message::parse("", "SELECT 1", &[]), message::frame(*tag, &dice.bytes(60))].concat());
            let copy = message::query("COPY t FROM STDIN");
            all.push([copy, message::copy_data(b"1\tx\n"), message::frame(*tag, &dice.bytes(60))].concat());
            all.push([message::query("BEGIN; SELECT 1"), message::frame(*tag, &dice.bytes(60))].concat());
        }
        for good in Self::good() {
            all.push(lengthen(&good, 1));
            all.extend((0..2).map(|_| with_own_length(dice.mutate(good.clone()))));
        }
        all.push(message::query(&"(".repeat(20_000)));
        all.push(message::query(&"SELECT 1+".repeat(5_000)));
        all.push(message::frame(b'P', &[&b"\0SELECT 1\0"[..], &[0xff; 2]].concat()));
        all.push(message::frame(b'B', &[&b"\0\0"[..], &[0xff; 2], &[0; 2]].concat()));
        all.push(message::frame(b'B', &[&b"\0\0\0\0\0\x01"[..], &[0x7f; 4], &[0; 2]].concat()));
        all.push(message::frame(b'F', &[&[0, 0, 0, 177][..], &[0xff; 8]].concat()));
        all
    }

    /// One message of each type.
    fn good() -> Vec<Vec<u8>> {
        vec![
            message::query("SELECT 1"),
            message::parse("s", "SELECT $1::int", &[23]),
            message::bind("", "s", &[Some("1")]),
            message::describe(b'S', "s"),
            message::describe(b'P', ""),
            message::execute("", 0),
            message::close(b'P', ""),
            message::function_call(177, &[Some("1"), Some("2")]),
            message::copy_data(b"1\tx\n"),
            message::copy_done(),
            message::copy_fail("no"),
            message::flush(),
            message::sync(),
        ]
    }

    /// Beginnings of good conversations.
    pub(crate) fn torn(dice: &mut Dice) -> Vec<Vec<u8>> {
        let insert = "INSERT INTO t VALUES (1)";
        let talks = [
            vec![message::query("SELECT 1"), message::query(insert)],
            vec![message::query("BEGIN"), message::query(insert), message::query("SELECT 1")],
            Self::good(),
            vec![
                message::parse("", insert, &[]),
                message::bind("", "", &[]),
                message::execute("", 0),
                message::flush(),
            ],
            vec![
                message::query("COPY t FROM STDIN"),
                message::copy_data(b"1\tx\n"),
                message::copy_data(&[b'y'; 500]),
            ],
            vec![
                message::parse("", "COPY t FROM STDIN", &[]),
                message::bind("", "", &[]),
                message::execute("", 0),
                message::sync(),
                message::copy_data(b"2\tz\n"),
                message::copy_done(),
                message::sync(),
            ],
            vec![message::query("SELECT repeat('x', 1000) FROM generate_series(1, 2000)")],
            vec![message::query("SELECT pg_sleep(0.2)"), message::query(insert)],
        ];
        let talks: Vec<_> = talks.iter().map(|talk| talk.concat()).collect();
        (0..120)
            .map(|_| {
                let talk = &talks[dice.below(talks.len())];
                talk[..=dice.below(talk.len() - 1)].to_vec()
            })
            .collect()
    }

    /// Good messages in any order, then a Sync; without copies, which swallow what follows.
    pub(crate) fn orders(dice: &mut Dice) -> Vec<Vec<u8>> {
        let mut messages = Self::good();
        messages.push(message::parse("", "INSERT INTO t VALUES (2)", &[]));
        messages.push(message::bind("", "", &[]));
        messages.push(message::bind("p", "s", &[Some("x")]));
        messages.push(message::execute("p", 1));
        messages.push(message::query("BEGIN"));
        messages.push(message::query("ROLLBACK"));
        messages.push(message::parse("", "BEGIN", &[]));
        messages.push(message::parse("", "COMMIT", &[]));
        messages.push(message::close(b'S', "s"));
        (0..150)
            .map(|_| {
                let count = 1 + dice.below(25);
                let mut all: Vec<_> =
                    (0..count).map(|_| messages[dice.below(messages.len())].clone()).collect();
                all.push(message::sync());
                all.concat()
            })
            .collect()
    }
}

/// The length field claims `more` bytes than there were; they are there.
fn lengthen(bytes: &[u8], more: usize) -> Vec<u8> {
    with_own_length([bytes, &vec![0; more]].concat())
}

/// Gives a tagged message the length that it has.
fn with_own_length(bytes: Vec<u8>) -> Vec<u8> {
    let tag = bytes.first().copied().filter(|tag| TYPES.contains(tag)).unwrap_or(b'Q');
    message::frame(tag, bytes.get(5..).unwrap_or_default())
}
