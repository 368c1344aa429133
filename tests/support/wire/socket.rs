//! A client's end of a real TCP connection.

use super::play::Wire;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

type Result<T> = std::result::Result<T, String>;

/// How far the server's clock may be from ours, and its Date behind its clock.
const TOLERANCE: Duration = Duration::from_secs(5);

pub(crate) struct SocketWire {
    stream: TcpStream,
    opened: Instant,
    opened_at: SystemTime,
    /// Reads all the time, so that a server that answers early never waits for us.
    reader: Option<JoinHandle<()>>,
    arriving: Receiver<Vec<u8>>,
    received: Vec<u8>,
    has_ended: bool,
}

impl SocketWire {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let open = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let reading = stream.try_clone()?;
            Ok::<_, std::io::Error>((stream, reading))
        };
        let (stream, mut reading) = open().map_err(|error| format!("cannot talk to the server: {error}"))?;
        let (sender, arriving) = mpsc::channel();
        let reader = thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // The end, orderly or not, is the end of the channel.
            loop {
                match reading.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        if sender.send(buffer[..count].to_vec()).is_err() {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        });
        Ok(Self {
            stream,
            opened: Instant::now(),
            opened_at: SystemTime::now(),
            reader: Some(reader),
            arriving,
            received: Vec::new(),
            has_ended: false,
        })
    }
}

impl Wire for SocketWire {
    fn send(&mut self, mut bytes: &[u8], limit: Duration) -> Result<()> {
        let set = self.stream.set_write_timeout(Some(limit));
        set.map_err(|error| format!("cannot talk to the server: {error}"))?;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(format!("the server does not read: {} bytes left to send", bytes.len()));
                }
                // It does not want to hear more; what it said is judged.
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn half_close(&mut self) -> Result<()> {
        // It fails where the server has gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
        Ok(())
    }

    fn wait(&mut self, until: Duration) -> Result<bool> {
        let left = until.saturating_sub(self.now());
        if self.has_ended || left.is_zero() {
            return Ok(false);
        }
        match self.arriving.recv_timeout(left) {
            Ok(bytes) => self.received.extend(bytes),
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => self.has_ended = true,
        }
        Ok(true)
    }

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn received(&self) -> &[u8] {
        &self.received
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn dates(&self) -> RangeInclusive<SystemTime> {
        self.opened_at - TOLERANCE..=SystemTime::now() + TOLERANCE
    }
}

impl Drop for SocketWire {
    fn drop(&mut self) {
        // Ends the reader, too.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
