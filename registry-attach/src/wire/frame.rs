//! Frames: a length of four bytes, little endian, and so many bytes of JSON.

use std::io::{self, Write as _};

use futures_lite::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::FRAME_BYTES_MAX;

const LENGTH_BYTES: usize = 4;

/// A message is larger than a frame may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge {
    pub(crate) found: usize,
}

/// A message as a frame, with its length in front.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, TooLarge> {
    let mut frame = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut frame, message)
        .expect("messages have string keys, and a vector takes what is written");
    let found = frame.len() - LENGTH_BYTES;
    let length = u32::try_from(found)
        .ok()
        .filter(|_| found <= FRAME_BYTES_MAX);
    let length = length.ok_or(TooLarge { found })?;
    (&mut frame[..LENGTH_BYTES])
        .write_all(&length.to_le_bytes())
        .expect("the place of the length is as long");
    Ok(frame)
}

/// The message in the content of a frame.
pub(crate) fn decode<T: DeserializeOwned>(content: &[u8]) -> io::Result<T> {
    serde_json::from_slice(content)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes what [`encode`] made.
pub(crate) async fn write_frame(mut to: impl AsyncWrite + Unpin, frame: &[u8]) -> io::Result<()> {
    to.write_all(frame).await?;
    to.flush().await
}

/// The content of the next frame; none where the connection ended before it.
///
/// Memory grows with what arrives, not with what the length says.
pub(crate) async fn read_frame(
    mut from: impl AsyncRead + Unpin,
    bytes_max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH_BYTES];
    let first = from.read(&mut length).await?;
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[first..]).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        let problem = format!("expected a frame of at most {bytes_max} bytes, found {length}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let mut content = Vec::new();
    from.take(length as u64).read_to_end(&mut content).await?;
    if content.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;
    use futures_lite::io::Cursor;

    use super::*;

    #[test]
    fn a_frame_reads_back() {
        let frame = encode(&["a", "b"]).unwrap();
        let content = block_on(read_frame(Cursor::new(&frame), 100))
            .unwrap()
            .unwrap();
        assert_eq!(decode::<[String; 2]>(&content).unwrap(), ["a", "b"]);
    }

    #[test]
    fn an_end_between_frames_is_no_error() {
        assert!(
            block_on(read_frame(Cursor::new(b""), 100))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_cut_or_oversized_frame_is_refused() {
        let frame = encode(&"a longer text").unwrap();
        for cut in [1, 3, 4, frame.len() - 1] {
            assert!(
                block_on(read_frame(Cursor::new(&frame[..cut]), 100)).is_err(),
                "{cut}"
            );
        }
        assert!(block_on(read_frame(Cursor::new(&frame), 3)).is_err());
    }
}
