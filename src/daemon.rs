//! The daemon: stores, writers, listeners and the HTTP side of a configuration, started and stopped in order.
//!
//! Stop order: accept no more, let what is framed be decided and answered, then the writers, then the rest.

mod events;
mod reload;
mod renewal;

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{Config, Environment, Listener};
use crate::http::{Entrance, RunningEnvironment};
use crate::intake::{Current, Intake, Memory, QUEUE_MAX, Work, Writer, WriterGauge};
use crate::mllp::listener::{Limits, serve};
use crate::store::{Place, Reader, Sqlite, StoreError};
use crate::telemetry::Metrics;
use events::connection_events;
use reload::{Sandbox, reload, styled};
use renewal::renew;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made or locked.
    #[error("cannot use the data folder {}: {source}", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon uses the data folder.
    #[error("the data folder {} is in use by another fairway; stop it or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({name}): {source}; is another program using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Listener, or `http`.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A running daemon; drop it only after [`Daemon::stop`].
pub struct Daemon {
    /// What runs.
    pub environments: Vec<RunningEnvironment>,
    /// Where the HTTP side listens.
    pub http: SocketAddr,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
    app: Arc<crate::http::App>,
    /// Ended by being dropped.
    _renewals: JoinSet<()>,
    http_stop: watch::Sender<bool>,
    http_task: JoinSet<()>,
    writers: Vec<JoinHandle<()>>,
    checkpointers: Vec<(std_mpsc::Sender<()>, JoinHandle<()>)>,
    _lock: File,
}

impl Daemon {
    /// Opens the stores, binds every address, and only then begins to accept.
    ///
    /// # Errors
    /// When a folder, store or address cannot be had; nothing is left running then.
    pub async fn start(config: &Config) -> Result<Daemon, StartError> {
        let lock = lock(&config.data)?;
        let metrics = Arc::new(Metrics::new());
        let (stop, stopping) = watch::channel(false);
        let mut bound = Vec::new();
        for environment in &config.environments {
            for listener in &environment.listeners {
                bound.push((environment.name, listener, bind(listener.listen, &listener.name).await?));
            }
        }
        let http_listener = bind(config.http, "http").await?;
        let http = address_of(&http_listener, config.http, "http")?;

        let mut environments = Vec::new();
        let mut queues = Vec::new();
        let (mut writers, mut checkpointers, mut stores) = (Vec::new(), Vec::new(), Vec::new());
        for environment in &config.environments {
            let path = config.data.join(format!("{}.db", environment.name));
            let store = Sqlite::open(&path)?;
            let place = store.place();
            let writer = Writer::new(environment.name, Box::new(store), metrics.clone());
            stores.push((writer.gauge(), place));
            let (queue, waiting) = mpsc::channel::<Work>(QUEUE_MAX);
            writers.push(spawn(&format!("writer-{}", environment.name), move || writer.run(waiting), &config.data)?);
            checkpointers.push(checkpointer(environment.name, &path, &config.data)?);
            queues.push((environment.name, queue, Arc::new(Memory::default())));
            environments.push(RunningEnvironment {
                name: environment.name,
                listeners: Vec::new(),
                reader: Reader::new(&path),
            });
        }
        let (mut listeners, mut renewals) = (JoinSet::new(), JoinSet::new());
        let mut sandbox = Vec::new();
        for (environment, listener, socket) in bound {
            let address = address_of(&socket, listener.listen, &listener.name)?;
            let Some((_, queue, memory)) = queues.iter().find(|(name, ..)| *name == environment) else { continue };
            if let Some(running) = environments.iter_mut().find(|running| running.name == environment) {
                running.listeners.push((listener.name.clone(), address));
            }
            let feeds = Current::new(listener.feeds.clone());
            if environment == "sandbox" {
                sandbox.push((listener.name.clone(), feeds.clone()));
            }
            let intake = Intake {
                environment,
                feeds,
                queue: queue.clone(),
                memory: memory.clone(),
                style: listener.acknowledgement,
                metrics: metrics.clone(),
            };
            let events = connection_events(environment, &listener.name, &metrics);
            let tls = listener.tls.clone().map(|tls| {
                let (current, latest) = watch::channel(tls.server.config.clone());
                renewals.spawn(renew(environment, listener.name.clone(), tls, current, metrics.clone()));
                latest
            });
            let is_tls = tls.is_some();
            tracing::info!(event = "listener.started", environment, listener = listener.name, %address, tls = is_tls);
            listeners.spawn(serve(socket, limits(listener), tls, Arc::new(intake), stopping.clone(), events));
        }
        // The listeners and the HTTP side hold the queues now; when the last of them is done, the writers come to their end.
        let entrances = config.environments.iter().zip(queues);
        let entrances: Vec<Entrance> =
            entrances.map(|(environment, (_, queue, memory))| entrance(environment, queue, memory)).collect();
        let of_sandbox = entrances.iter().find(|entrance| entrance.environment == "sandbox");
        if let (Some(folders), Some(entrance)) = (&config.folders, of_sandbox) {
            let sandbox = Sandbox { listeners: sandbox, entrance: entrance.feeds.clone() };
            renewals.spawn(reload(folders.clone(), sandbox, metrics.clone()));
        }
        let (http_stop, http_stopping) = watch::channel(false);
        let mut http_task = JoinSet::new();
        let app = Arc::new(crate::http::App::new(config, &environments, entrances, metrics, ready(stores), stopping));
        tracing::info!(event = "http.started", address = %http);
        http_task.spawn(crate::http::serve(http_listener, app.clone(), crate::http::Limits::default(), http_stopping));
        Ok(Daemon {
            environments,
            http,
            stop,
            listeners,
            app,
            _renewals: renewals,
            http_stop,
            http_task,
            writers,
            checkpointers,
            _lock: lock,
        })
    }

    /// Stops in order; returns when everything that was framed is stored and answered.
    pub async fn stop(mut self) {
        tracing::info!(event = "daemon.stopping");
        self.stop.send_replace(true);
        self.app.close_entrances();
        while self.listeners.join_next().await.is_some() {}
        let writers = std::mem::take(&mut self.writers);
        let checkpointers = std::mem::take(&mut self.checkpointers);
        let ended = tokio::task::spawn_blocking(move || {
            let mut well = true;
            for writer in writers {
                well &= writer.join().is_ok();
            }
            for (stop, thread) in checkpointers {
                drop(stop);
                well &= thread.join().is_ok();
            }
            well
        });
        if !ended.await.unwrap_or(false) {
            tracing::error!(event = "daemon.thread_panicked");
        }
        self.http_stop.send_replace(true);
        while self.http_task.join_next().await.is_some() {}
        tracing::info!(event = "daemon.stopped");
    }
}

/// What HTTP reaches of an environment: every feed that one of its listeners serves.
fn entrance(environment: &Environment, queue: mpsc::Sender<Work>, memory: Arc<Memory>) -> Entrance {
    let frame_bytes_max = environment.listeners.iter().map(|listener| listener.frame_bytes_max).max().unwrap_or(0);
    let feeds = Current::new(styled(environment));
    Entrance { environment: environment.name, feeds, frame_bytes_max, queue, memory }
}

/// True while every writer can store, in a file that is where it belongs.
fn ready(stores: Vec<(WriterGauge, Place)>) -> impl Fn() -> bool + Send + Sync + 'static {
    move || stores.iter().all(|(gauge, place)| gauge.is_well() && place.check().is_ok())
}

/// One daemon per data folder: its stores have one writer. A folder that is not there yet is made for its user alone.
fn lock(data: &Path) -> Result<File, StartError> {
    let fail = |source| StartError::Data { path: data.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(fail)?;
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(data.join("lock")).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse { path: data.to_owned() }),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

async fn bind(address: SocketAddr, name: &str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, name: name.to_owned(), source })
}

fn address_of(listener: &TcpListener, address: SocketAddr, name: &str) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { address, name: name.to_owned(), source })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static, data: &Path) -> Result<JoinHandle<()>, StartError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map_err(|source| StartError::Data { path: data.to_owned(), source })
}

/// A thread that works off the write-ahead log until its sender is dropped.
fn checkpointer(
    environment: &str,
    store: &Path,
    data: &Path,
) -> Result<(std_mpsc::Sender<()>, JoinHandle<()>), StartError> {
    let (sender, receiver) = std_mpsc::channel();
    let path = store.to_owned();
    let stopped =
        move |wait: Duration| !matches!(receiver.recv_timeout(wait), Err(std_mpsc::RecvTimeoutError::Timeout));
    let thread = spawn(&format!("checkpoint-{environment}"), move || Sqlite::checkpoint_until(&path, stopped), data)?;
    Ok((sender, thread))
}

fn limits(listener: &Listener) -> Limits {
    Limits {
        frame_bytes_max: listener.frame_bytes_max,
        connections_max: listener.connections_max,
        connections_per_peer_max: listener.connections_per_peer_max,
        idle: listener.idle,
        in_frame: listener.in_frame,
        handshake: listener.tls.as_ref().map_or(Limits::default().handshake, |tls| tls.handshake),
        ..Limits::default()
    }
}
