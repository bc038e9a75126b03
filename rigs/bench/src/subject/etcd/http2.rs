//! As much of HTTP/2 as a client of gRPC needs that asks one thing at a time.

/// What the server may send before it is given more room: the most that there is.
pub(super) const ROOM_BYTES: usize = 0x7fff_ffff;
/// Room that a connection has from the start.
const ROOM_AT_FIRST: usize = 0xffff;

const END_STREAM: u8 = 1;
const ACKNOWLEDGEMENT: u8 = 1;
const END_HEADERS: u8 = 4;
const HEAD_BYTES: usize = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data = 0,
    Headers = 1,
    Reset = 3,
    Settings = 4,
    Ping = 6,
    GoAway = 7,
    Room = 8,
    Other = 0xff,
}

/// One that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) is_last: bool,
    pub(super) is_acknowledgement: bool,
    pub(super) payload: &'a [u8],
    /// Bytes of it all.
    pub(super) bytes: usize,
}

impl<'a> Frame<'a> {
    /// None until it is whole. Padding and priorities, which Go's servers do not send, are not looked for.
    pub(super) fn read(input: &'a [u8]) -> Option<Self> {
        let head = input.first_chunk::<HEAD_BYTES>()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let bytes = HEAD_BYTES + usize::try_from(length).ok()?;
        let payload = input.get(HEAD_BYTES..bytes)?;
        let kind = match head[3] {
            0 => Kind::Data,
            1 => Kind::Headers,
            3 => Kind::Reset,
            4 => Kind::Settings,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::Room,
            _ => Kind::Other,
        };
        Some(Self {
            kind,
            is_last: head[4] & END_STREAM != 0,
            is_acknowledgement: head[4] & ACKNOWLEDGEMENT != 0,
            payload,
            bytes,
        })
    }
}

/// A call, by its odd number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream(u32);

impl Stream {
    /// Before the first call.
    pub(super) fn first() -> Self {
        Self(u32::MAX)
    }

    pub(super) fn next(self) -> Self {
        Self(self.0.wrapping_add(2))
    }

    /// Sends the head of a call of etcd.
    pub(super) fn open(self, host: &str, method: &str, out: &mut Vec<u8>) {
        /// `:method: POST` and `:scheme: http` of the static table.
        const FIXED: [u8; 2] = [0x83, 0x86];
        const PATH: u8 = 4;
        const AUTHORITY: u8 = 1;
        /// `content-type` is 31 in the table, which takes a second byte.
        const CONTENT_TYPE: [u8; 2] = [0x0f, 31 - 15];
        let mut block = FIXED.to_vec();
        block.push(PATH);
        write_text(&format!("/etcdserverpb.{method}"), &mut block);
        block.push(AUTHORITY);
        write_text(host, &mut block);
        block.extend_from_slice(&CONTENT_TYPE);
        write_text("application/grpc", &mut block);
        block.push(0);
        write_text("te", &mut block);
        write_text("trailers", &mut block);
        write_head(Kind::Headers, END_HEADERS, self.0, block.len(), out);
        out.extend_from_slice(&block);
    }

    /// Sends a message of gRPC.
    pub(super) fn send(self, message: &[u8], is_last: bool, out: &mut Vec<u8>) {
        let flags = if is_last { END_STREAM } else { 0 };
        write_head(Kind::Data, flags, self.0, 5 + message.len(), out);
        out.push(0);
        out.extend_from_slice(&four(message.len()));
        out.extend_from_slice(message);
    }
}

/// Begins a connection on which the server may send as it likes.
pub(super) fn greet(out: &mut Vec<u8>) {
    const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
    out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    write_head(Kind::Settings, 0, 0, 6, out);
    out.extend_from_slice(&INITIAL_WINDOW_SIZE);
    out.extend_from_slice(&four(ROOM_BYTES));
    give_room(ROOM_BYTES - ROOM_AT_FIRST, out);
}

/// Lets the server send so many bytes more on the connection.
pub(super) fn give_room(bytes: usize, out: &mut Vec<u8>) {
    write_head(Kind::Room, 0, 0, 4, out);
    out.extend_from_slice(&four(bytes));
}

pub(super) fn acknowledge_settings(out: &mut Vec<u8>) {
    write_head(Kind::Settings, ACKNOWLEDGEMENT, 0, 0, out);
}

pub(super) fn acknowledge_ping(payload: &[u8], out: &mut Vec<u8>) {
    write_head(Kind::Ping, ACKNOWLEDGEMENT, 0, payload.len(), out);
    out.extend_from_slice(payload);
}

fn write_head(kind: Kind, flags: u8, stream: u32, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&four(length)[1..]);
    out.push(kind as u8);
    out.push(flags);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Appends a text without Huffman coding.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let length = u8::try_from(text.len()).expect("heads are short");
    out.push(length);
    out.extend_from_slice(text.as_bytes());
}

fn four(number: usize) -> [u8; 4] {
    let number = u32::try_from(number).expect("messages are smaller than 4 GiB");
    number.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_odd_numbers_from_one() {
        let first = Stream::first().next();
        assert_eq!((first.0, first.next().0), (1, 3));
    }

    #[test]
    fn head_of_a_call_is_as_the_table_has_it() {
        let mut out = Vec::new();
        Stream(1).open("h", "KV/Put", &mut out);
        let block = [
            &[0x83, 0x86, 4, 20][..],
            b"/etcdserverpb.KV/Put",
            &[1, 1, b'h', 0x0f, 16, 16],
            b"application/grpc",
            &[0, 2, b't', b'e', 8],
            b"trailers",
        ]
        .concat();
        let length = u8::try_from(block.len()).unwrap();
        assert_eq!(out[..9], [0, 0, length, 1, 4, 0, 0, 0, 1]);
        assert_eq!(out[9..], block);
    }

    #[test]
    fn frames_are_read_once_they_are_whole() {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(Frame::read(&ping[..16]), None);
        let frame = Frame::read(&ping).unwrap();
        assert_eq!((frame.kind, frame.bytes), (Kind::Ping, 17));
        assert!(!frame.is_acknowledgement);
    }
}
