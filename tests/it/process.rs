//! The daemon as a process of its own, on free ports with a fresh data folder, and a plain MLLP sender.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use fairway::store::{MessageFilter, MessageSummary, Reader};

/// Longer than a start should take; only a failure waits for it.
const START: Duration = Duration::from_secs(20);

/// A configuration on free ports and the process that runs it.
pub(crate) struct Process {
    pub(crate) folder: PathBuf,
    /// Demographics, appointments, encounters, documents.
    pub(crate) pas: SocketAddr,
    /// Radiology and pathology.
    pub(crate) results: SocketAddr,
    pub(crate) http: SocketAddr,
    child: Option<Child>,
}

/// An address no other test of this run gets and no outgoing connection is given by the system: ports below the
/// ephemeral range, each once.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

impl Process {
    /// Writes the example configuration on free ports into `folder` and starts the daemon.
    pub(crate) fn start(folder: &Path) -> Process {
        Process::start_with(folder, |text| text)
    }

    /// The same, with the configuration edited first.
    pub(crate) fn start_with(folder: &Path, edit: impl FnOnce(String) -> String) -> Process {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (pas, results, http) = (free_address(), free_address(), free_address());
        let text = std::fs::read_to_string(root.join("config.example.toml")).unwrap();
        let text = text
            .replace("127.0.0.1:2575", &pas.to_string())
            .replace("127.0.0.1:2576", &results.to_string())
            .replace("127.0.0.1:8080", &http.to_string())
            .replace("\"feeds\"\n", &format!("{:?}\n", root.join("feeds")))
            .replace("\"mappings\"\n", &format!("{:?}\n", root.join("mappings")));
        std::fs::write(folder.join("config.toml"), edit(text)).unwrap();
        let mut process = Process { folder: folder.to_owned(), pas, results, http, child: None };
        process.restart();
        process
    }

    /// Starts the process again and waits until it takes connections.
    pub(crate) fn restart(&mut self) {
        self.spawn(Command::new(env!("CARGO_BIN_EXE_fairway")));
    }

    /// The same, in a shell that has run `limits` before.
    pub(crate) fn restart_under(&mut self, limits: &str) {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{limits}; exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_fairway"));
        self.spawn(shell);
    }

    fn spawn(&mut self, mut command: Command) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let child = command
            .args(["run", "--config"])
            .arg(self.folder.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let started = Instant::now();
        while TcpStream::connect(self.pas).is_err() || TcpStream::connect(self.results).is_err() {
            assert!(started.elapsed() < START, "{}", std::fs::read_to_string(self.folder.join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let told = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(told.success());
        child.wait().unwrap().code()
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(&self.folder.join("data/sandbox.db"))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Every message of the sandbox.
    pub(crate) fn messages(&self) -> Vec<MessageSummary> {
        let mut all: Vec<MessageSummary> = Vec::new();
        loop {
            let after = all.last().map_or(0, |message| message.id);
            let page = self.reader().messages(&MessageFilter { after, limit: 1000, ..Default::default() }).unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap_or_default();
            child.wait().map(|_| ()).unwrap_or_default();
        }
    }
}

/// A sender with one message in flight.
pub(crate) struct Sender {
    stream: BufReader<TcpStream>,
}

impl Sender {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Sender> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        stream.set_nodelay(true)?;
        Ok(Sender { stream: BufReader::new(stream) })
    }

    /// Sends a message and reads its acknowledgement.
    pub(crate) fn send(&mut self, message: &[u8]) -> std::io::Result<String> {
        self.raw(&[&[0x0B], message, &[0x1C, 0x0D]].concat())?;
        self.answer()
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one framed answer.
    pub(crate) fn answer(&mut self) -> std::io::Result<String> {
        let mut answer = Vec::new();
        while !answer.ends_with(&[0x1C, 0x0D]) {
            // What follows the frame stays in the buffer for the next answer.
            if self.stream.read_until(0x0D, &mut answer)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(String::from_utf8_lossy(&answer[1..answer.len() - 2]).into_owned())
    }
}

/// `AA`, `AR` or `AE` of an acknowledgement.
pub(crate) fn code_of(ack: &str) -> &str {
    ack.split('\r').find_map(|line| line.strip_prefix("MSA|")).map_or("??", |line| &line[..2])
}
