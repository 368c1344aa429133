//! A running server follows its configuration: endpoints come and go, and those that stay notice nothing.

use super::command::{Command, Commands, NewEndpoint};
use super::endpoints::Endpoints;
use super::listener::{BoundAddress, BoundEndpoint, bind_endpoint};
#[cfg(feature = "tls")]
use super::renewal::Followed;
use super::settling::Settling;
use super::transport::Transport;
use super::unix_listener::UnixPath;
use crate::configuration::Fingerprint;
use crate::endpoint::{BindError, ListenOptions, ServerOptions};
use crate::event::{ReloadOutcome, Watch};
use crate::places::Places;
use crate::tls::Tickets;
#[cfg(feature = "tls")]
use crate::tls::TlsEndpoint;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

/// How often the files are looked at.
pub(super) const POLL: Duration = Duration::from_millis(250);

/// How long workers may take to close a listening socket whose address is wanted.
const CLOSING: Duration = Duration::from_secs(2);

/// An endpoint that is served.
pub(super) struct Served {
    pub(super) index: u16,
    pub(super) options: ListenOptions,
    pub(super) address: BoundAddress,
    pub(super) unix_path: Option<UnixPath>,
    /// What new connections are answered with.
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<TlsEndpoint>>,
}

/// An endpoint of the newest configuration.
struct Wanted {
    options: ListenOptions,
    /// What its connections are to be made with; `None` if it is served as it is.
    transport: Option<Transport>,
}

/// What a server has to know to follow its configuration.
pub(super) struct Follower {
    pub(super) options: ServerOptions,
    pub(super) served: Vec<Served>,
    pub(super) tickets: Tickets,
    pub(super) workers: Vec<Commands>,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) watch: Watch,
    /// Whether changes of the files are followed.
    pub(super) follows_changes: bool,
    /// The files of the configuration.
    pub(super) settling: Settling<Fingerprint>,
    /// Those of certificates.
    #[cfg(feature = "tls")]
    pub(super) files: Vec<Followed>,
}

impl Follower {
    /// Looks at the files, or reads them at once if that was asked for. Returns when to look again.
    pub(super) fn tick(&mut self, is_asked: bool) -> Option<Duration> {
        let now = Instant::now();
        if is_asked {
            self.reload();
        } else if self.follows_changes && self.has_settled(now) {
            log::info!(target: "stannel", "the configuration has changed");
            self.reload();
        }
        #[cfg(feature = "tls")]
        let has_files = self.look_at_files(now);
        #[cfg(not(feature = "tls"))]
        let has_files = false;
        (self.follows_changes || has_files).then_some(POLL)
    }

    /// Whether the files have changed, and then stayed as they are for long enough.
    fn has_settled(&mut self, now: Instant) -> bool {
        let configuration = self.options.followed_configuration();
        configuration.is_some_and(|configuration| self.settling.look(configuration.fingerprint(), now))
    }

    fn reload(&mut self) {
        let outcome = self.read_anew().unwrap_or_else(|error| {
            log::error!(target: "stannel", "{error}\nthe configuration that is in force stays");
            ReloadOutcome::refused(error.to_string())
        });
        self.watch.tell(|observer| observer.reloaded(&outcome));
    }

    /// Nothing is changed before everything is understood.
    fn read_anew(&mut self) -> Result<ReloadOutcome, BindError> {
        let (options, newer) = match self.options.followed_configuration() {
            Some(configuration) => {
                // Before they are read: what is written meanwhile is a change.
                self.settling.has_read(configuration.fingerprint());
                let newer = configuration.reload().map_err(BindError::Configuration)?;
                let options = self.options.follow(&newer).map_err(BindError::Configuration)?;
                (options, Some(newer))
            }
            None if self.served.iter().any(|served| served.options.https().is_some()) => (self.options.clone(), None),
            None => {
                log::warn!(target: "stannel", "there is no configuration to read anew");
                return Ok(ReloadOutcome::default());
            }
        };
        let served: Vec<&ListenOptions> = self.served.iter().map(|served| &served.options).collect();
        let plan = options
            .plan_at(SystemTime::now(), &served)
            .map_err(BindError::Configuration)?;
        let configured = plan.endpoints().iter().filter(|endpoint| endpoint.is_configured());
        let wanted = configured
            .map(|endpoint| self.wanted(endpoint))
            .collect::<Result<_, _>>()?;
        for note in plan.notes().iter().filter(|note| note.level() == log::Level::Warn) {
            log::warn!(target: "stannel", "{}", note.text());
        }
        let is_header_new = options.add_server_header != self.options.add_server_header;
        if is_header_new || options.limits != self.options.limits {
            self.change_options(&options);
        }
        self.options = options;
        if let Some(newer) = &newer {
            self.options.tell_reloaded(newer);
        }
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "there are no certificates"))]
        let mut outcome = self.serve(wanted);
        #[cfg(feature = "tls")]
        {
            outcome.renewed = self.take_certificates(&plan);
        }
        Ok(outcome)
    }

    fn wanted(&self, endpoint: &ListenOptions) -> Result<Wanted, BindError> {
        let is_served = |served: &Served| served.options.is_as_configured(endpoint);
        let transport = match self.served.iter().any(is_served) {
            true => None,
            false => Some(Transport::of(endpoint, &self.tickets)?),
        };
        Ok(Wanted {
            options: endpoint.clone(),
            transport,
        })
    }

    fn change_options(&self, options: &ServerOptions) {
        let limits = Arc::new(options.limits.clone());
        let (connections, upgraded) = (
            Places::new(limits.max_concurrent_connections),
            Places::new(limits.max_concurrent_upgraded_connections),
        );
        for worker in &self.workers {
            worker.post(Command::Options {
                add_server_header: options.add_server_header,
                limits: Arc::clone(&limits),
                connections: connections.clone(),
                upgraded: upgraded.clone(),
            });
        }
        log::info!(target: "stannel", "new connections have the new options");
    }

    /// Serves these endpoints of the configuration and no others.
    fn serve(&mut self, wanted: Vec<Wanted>) -> ReloadOutcome {
        let mut outcome = ReloadOutcome::default();
        let mut gone = self.take_gone(&wanted);
        let mut to_bind = Vec::new();
        for wanted in wanted {
            let Some(transport) = wanted.transport else {
                continue;
            };
            let endpoint = wanted.options;
            // The rights that the umask would have left are not known any more: such a file is made anew.
            let keeps_rights = |served: &Served| served.options.socket_mode.is_none() || endpoint.socket_mode.is_some();
            let same_address = |served: &Served| served.options.binding() == endpoint.binding() && keeps_rights(served);
            match gone.iter().position(same_address) {
                Some(place) => self.replace(gone.swap_remove(place), endpoint, transport, &mut outcome),
                None => to_bind.push((endpoint, transport)),
            }
        }
        // New sockets before old ones are closed, so that there is no moment without any; unless the old ones are in
        // their way.
        to_bind.retain(|(endpoint, transport)| !self.open(endpoint, transport, !gone.is_empty(), &mut outcome));
        self.close(gone, &mut outcome);
        for (endpoint, transport) in &to_bind {
            self.open(endpoint, transport, false, &mut outcome);
        }
        for url in &outcome.stopped {
            log::info!(target: "stannel", "stopped {url}");
        }
        for url in &outcome.started {
            log::info!(target: "stannel", "started {url}");
        }
        outcome
    }

    /// Takes out the endpoints of the configuration that are not wanted as they are.
    fn take_gone(&mut self, wanted: &[Wanted]) -> Vec<Served> {
        let stays = |served: &Served| {
            let is_wanted = |wanted: &Wanted| wanted.options.is_as_configured(&served.options);
            !served.options.is_configured() || wanted.iter().any(is_wanted)
        };
        let (stay, gone) = std::mem::take(&mut self.served).into_iter().partition(stays);
        self.served = stay;
        gone
    }

    /// The socket stays; who connects from now on gets the new settings.
    fn replace(&mut self, old: Served, endpoint: ListenOptions, transport: Transport, outcome: &mut ReloadOutcome) {
        outcome.stopped.push(old.address.to_string());
        let address = old.address.of_endpoint(&endpoint);
        outcome.started.push(address.to_string());
        if let (Some(path), Some(mode)) = (&old.unix_path, endpoint.socket_mode) {
            path.set_mode(mode);
        }
        let (index, counters) = self.endpoints.add(address.clone());
        for (worker, counters) in self.workers.iter().zip(counters) {
            worker.post(Command::Replace {
                from: old.index,
                endpoint: NewEndpoint {
                    index,
                    transport: transport.clone(),
                    counters,
                },
                no_delay: endpoint.no_delay,
            });
        }
        self.endpoints.close(old.index);
        self.served.push(Served {
            index,
            options: endpoint,
            address,
            unix_path: old.unix_path,
            #[cfg(feature = "tls")]
            tls: transport.tls,
        });
    }

    /// Returns whether that is settled; if not, it may be tried again once others are closed.
    fn open(
        &mut self,
        endpoint: &ListenOptions,
        transport: &Transport,
        may_be_in_the_way: bool,
        outcome: &mut ReloadOutcome,
    ) -> bool {
        let bound = if self.endpoints.has_room(1) {
            bind_endpoint(endpoint, self.workers.len(), &self.options, transport.clone())
        } else {
            Err(BindError::TooManyEndpoints)
        };
        match bound {
            Ok(bound) => {
                outcome.started.push(bound.address.to_string());
                self.add(endpoint.clone(), bound);
                true
            }
            Err(BindError::AddressInUse { .. }) if may_be_in_the_way => false,
            Err(error) => {
                log::error!(target: "stannel", "{error}\nthe server goes on without it until that endpoint is changed");
                outcome.failed.push(endpoint.to_string());
                true
            }
        }
    }

    fn add(&mut self, options: ListenOptions, bound: BoundEndpoint) {
        let (index, counters) = self.endpoints.add(bound.address.clone());
        for (worker, listener) in bound.listeners {
            let endpoint = NewEndpoint {
                index,
                transport: bound.transport.clone(),
                counters: Arc::clone(&counters[worker]),
            };
            self.workers[worker].post(Command::Open { endpoint, listener });
        }
        self.served.push(Served {
            index,
            options,
            address: bound.address,
            unix_path: bound.unix_path,
            #[cfg(feature = "tls")]
            tls: bound.transport.tls,
        });
    }

    /// Closes listening sockets and waits until they are.
    fn close(&mut self, gone: Vec<Served>, outcome: &mut ReloadOutcome) {
        if gone.is_empty() {
            return;
        }
        let count = gone.len();
        let (done, closed) = mpsc::channel();
        for mut served in gone {
            // The file goes first: whoever has connected through it is still served.
            drop(served.unix_path.take());
            for worker in &self.workers {
                worker.post(Command::Close {
                    endpoint: served.index,
                    done: done.clone(),
                });
            }
            self.endpoints.close(served.index);
            outcome.stopped.push(served.address.to_string());
        }
        drop(done);
        let until = Instant::now() + CLOSING;
        for _ in 0..count * self.workers.len() {
            if closed
                .recv_timeout(until.saturating_duration_since(Instant::now()))
                .is_err()
            {
                log::warn!(target: "stannel", "a worker has not closed its socket yet: a handler blocks");
                break;
            }
        }
    }
}
