//! Processes that end with the test that started them.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// How long anything may take that a test waits for. Generous: the machine may be a Pi under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `ready` again and again until it has an answer.
///
/// # Panics
/// After [`PATIENCE`].
pub(crate) fn wait_until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ready() {
            return answer;
        }
        assert!(Instant::now() < limit, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A process in a group of its own. Dropping it ends the whole group and waits; where the test
/// failed, it prints what the process had said.
#[derive(Debug)]
pub(crate) struct Guard {
    name: String,
    child: Child,
    output: Arc<Said>,
    status: Option<ExitStatus>,
}

#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Guard {
    /// Starts `program`; what it writes to either output is kept, line by line.
    pub(crate) fn start(program: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        // Should this very process be killed, the one it started goes too.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program);
        configure(&mut command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let output = Arc::new(Said::default());
        listen(child.stdout.take().expect("piped"), Arc::clone(&output));
        listen(child.stderr.take().expect("piped"), Arc::clone(&output));
        Self {
            name: program.display().to_string(),
            child,
            output,
            status: None,
        }
    }

    /// Waits until the process has said a line with `word` in it, or has said so already; `false`
    /// if it ended instead.
    pub(crate) fn says(&mut self, word: &str) -> bool {
        let limit = Instant::now() + PATIENCE;
        loop {
            let ended = self.ended().is_some();
            let lines = self.output.lines.lock().unwrap();
            if lines.iter().any(|line| line.contains(word)) {
                return true;
            }
            if ended {
                return false;
            }
            let said = lines.join("\n");
            assert!(
                Instant::now() < limit,
                "{} never said \"{word}\", but:\n{said}",
                self.name
            );
            // Its end does not wake us: look now and then.
            let turn = Duration::from_millis(20);
            drop(self.output.more.wait_timeout(lines, turn).unwrap());
        }
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status
    }

    /// Ends it as the machine's init would (SIGTERM), and waits.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        wait_until("a process to end", || self.ended())
    }

    /// Ends it without warning (SIGKILL), as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        wait_until("a killed process", || self.ended());
    }

    /// What it has said up to now.
    pub(crate) fn said(&self) -> Vec<String> {
        self.output.lines.lock().unwrap().clone()
    }

    /// Signals the whole group. The group is ours: its leader is not waited for yet, so its number
    /// cannot be another's.
    fn signal(&mut self, signal: &str) {
        if self.ended().is_none() {
            let script = format!("kill -{signal} -{}", self.child.id());
            let _ = Command::new("sh").args(["-c", &script]).status();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.signal("TERM");
        let limit = Instant::now() + Duration::from_secs(10);
        while self.ended().is_none() {
            if Instant::now() > limit {
                self.signal("KILL");
                self.status = self.child.wait().ok();
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if thread::panicking() {
            eprintln!("-- {} said:\n{}", self.name, self.said().join("\n"));
        }
    }
}

fn listen(source: impl Read + Send + 'static, output: Arc<Said>) {
    thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while source.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            output.lines.lock().unwrap().push(text);
            output.more.notify_all();
            line.clear();
        }
    });
}

/// Runs a program to its end, in `dir` as its home, with a limit on the time it takes.
pub(crate) fn run(program: &str, dir: &Path, configure: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", &PATIENCE.as_secs().to_string(), program])
        .current_dir(dir)
        .env("HOME", dir)
        .env("LC_ALL", "C.UTF-8")
        .env("TERM", "vt100")
        .stdin(Stdio::null());
    configure(&mut command);
    command.output().expect("timeout is part of Debian")
}

/// As [`run`]; the program must succeed.
pub(crate) fn run_well(program: &str, dir: &Path, configure: impl FnOnce(&mut Command)) -> Output {
    let output = run(program, dir, configure);
    assert!(
        output.status.success(),
        "{program}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
