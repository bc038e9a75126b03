//! What a client says to a server, and what it makes of the answers.

use anyhow::Result;

/// One piece of work of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Makes what records need before the first of them: a table, a bucket. Once for each new store.
    Prepare,
    /// Writes the record of that number, durably.
    Register(u64),
    /// As [`Work::Register`], in the way that tells watchers, where that is another one.
    Announce(u64),
    /// Reads the record of that number.
    Lookup(u64),
    /// Reads all records, of which there are so many.
    List(u64),
    /// Makes the lease of that number, so that it can be renewed.
    Lease(u64),
    /// Renews it.
    Beat(u64),
    /// Renews the first so many leases with one message.
    Beats(u64),
    /// Is told of every change from now on. Done when the server has taken note of it.
    Watch,
}

/// What bytes from the server meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that ends a piece of work.
    Nothing,
    /// The oldest piece of work under way is done, with an answer whose payload had so many bytes.
    Done { bytes: usize },
    /// A watcher was told of a change, with the whole record.
    Changed,
}

/// One client's side of a conversation.
pub(crate) trait Dialogue {
    /// Greets the server, and says whether it answers that, with [`Heard::Done`].
    fn greet(&mut self, out: &mut Vec<u8>) -> bool;

    /// Begins a piece of work.
    ///
    /// # Errors
    /// Work that this server does not know.
    fn begin(&mut self, work: Work, out: &mut Vec<u8>) -> Result<()>;

    /// Looks at what came in: how many bytes it took and what they meant, or none where more are needed. It may say
    /// more itself.
    ///
    /// # Errors
    /// Anything but a good answer.
    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Heard)>>;
}
