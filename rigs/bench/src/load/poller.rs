//! Which sockets have something to read, or room to write.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// Told at once.
const EVENTS_MAX: usize = 256;

pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC).context("make a poller")?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    pub(crate) fn add(&self, stream: &TcpStream, number: usize) -> Result<()> {
        let data = EventData::new_u64(number as u64);
        epoll::add(&self.epoll, stream, data, EventFlags::IN).context("poll a socket")
    }

    /// Asks to be told of room to write, too, or no longer.
    pub(crate) fn want_room(&self, stream: &TcpStream, number: usize, wanted: bool) -> Result<()> {
        let data = EventData::new_u64(number as u64);
        let flags = if wanted {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        epoll::modify(&self.epoll, stream, data, flags).context("poll a socket")
    }

    /// Waits until something is ready, and puts its numbers into `ready`; none when the time is over.
    pub(crate) fn wait(&mut self, timeout: Duration, ready: &mut Vec<usize>) -> Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = Timespec::try_from(timeout).context("wait so long")?;
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for a socket"),
        }
        for event in &self.events {
            let data = event.data;
            ready.push(usize::try_from(data.u64()).context("a number of ours")?);
        }
        Ok(())
    }
}
