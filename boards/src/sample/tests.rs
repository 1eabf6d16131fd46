//! The server as its clients see it: over a socket, by hand, by curl and by poplib.

use std::process::Command;

use super::*;

/// A server with the sample mails, in a directory of its own.
struct Sample {
    dir: PathBuf,
    port: u16,
    /// While it is held, the server runs.
    _lifeline: io::PipeWriter,
}

impl Sample {
    fn start(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sample-{}-{name}", std::process::id()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (reader, lifeline) = io::pipe().unwrap();
        mails::create_unless_there(&dir).unwrap();
        let served = dir.clone();
        thread::spawn(move || serve_until(&served, listener, reader));
        Self {
            dir,
            port,
            _lifeline: lifeline,
        }
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut client = BufReader::new(stream);
        assert!(line(&mut client).starts_with("+OK "));
        client
    }

    fn login(&self) -> BufReader<TcpStream> {
        let mut client = self.connect();
        assert_eq!(ask(&mut client, "USER alice"), "+OK and the password?");
        assert!(ask(&mut client, "PASS desk").starts_with("+OK "));
        client
    }

    /// What curl prints on standard output for the path `path`.
    fn curl(&self, path: &str, options: &[&str]) -> Vec<u8> {
        let url = format!("pop3://alice:desk@127.0.0.1:{}/{path}", self.port);
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "10"])
            .args(options)
            .arg(url)
            .output()
            .expect("curl is installed by scripts/test");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    fn stored(&self, name: &str) -> Vec<u8> {
        let text = fs::read(self.dir.join("alice").join(name)).unwrap();
        String::from_utf8(text)
            .unwrap()
            .replace('\n', "\r\n")
            .into()
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn line(client: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line.trim_end_matches("\r\n").to_owned()
}

fn ask(client: &mut BufReader<TcpStream>, command: &str) -> String {
    client.get_mut().write_all(command.as_bytes()).unwrap();
    client.get_mut().write_all(b"\r\n").unwrap();
    line(client)
}

/// Lines after the status line, up to the dot, as they came.
fn rest(client: &mut BufReader<TcpStream>) -> Vec<String> {
    let lines = core::iter::from_fn(|| Some(line(client)));
    lines.take_while(|line| line != ".").collect()
}

#[test]
fn sizes_and_unique_ids_are_those_of_what_is_sent() {
    let sample = Sample::start("sizes");
    let mut client = sample.login();
    assert!(ask(&mut client, "UIDL").starts_with("+OK"));
    let ids = ["1 1-welcome", "2 2-greetings", "3 3-dots", "4 4-minutes"];
    assert_eq!(rest(&mut client), ids);
    let mut sum = 0;
    for number in 1..=4 {
        let listed = ask(&mut client, &format!("LIST {number}"));
        let listed: usize = listed.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(ask(&mut client, &format!("RETR {number}")).starts_with("+OK"));
        let sent: usize = rest(&mut client)
            .iter()
            .map(|line| line.strip_prefix('.').unwrap_or(line).len() + 2)
            .sum();
        assert_eq!(sent, listed, "message {number}");
        sum += listed;
    }
    assert_eq!(ask(&mut client, "STAT"), format!("+OK 4 {sum}"));
    assert!((38_000..45_000).contains(&sample.stored("4-minutes.eml").len()));
}

#[test]
fn what_is_deleted_goes_at_quit_and_not_before() {
    let sample = Sample::start("quit");
    let mut client = sample.login();
    assert!(ask(&mut client, "DELE 2").starts_with("+OK"));
    assert!(ask(&mut client, "RETR 2").starts_with("-ERR"));
    assert!(ask(&mut client, "DELE 2").starts_with("-ERR"));
    assert!(ask(&mut client, "RSET").starts_with("+OK"));
    assert!(ask(&mut client, "DELE 1").starts_with("+OK"));
    drop(client);
    // The server has seen the end when the lock is free again.
    let mut client = loop {
        let mut client = sample.connect();
        ask(&mut client, "USER alice");
        if ask(&mut client, "PASS desk").starts_with("+OK") {
            break client;
        }
    };
    assert!(ask(&mut client, "STAT").starts_with("+OK 4 "));
    assert!(ask(&mut client, "DELE 1").starts_with("+OK"));
    assert!(ask(&mut client, "QUIT").starts_with("+OK"));
    assert!(!sample.dir.join("alice/1-welcome.eml").exists());
    assert!(sample.dir.join("alice/2-greetings.eml").exists());
}

#[test]
fn a_file_dropped_in_is_new_mail_for_the_next_session() {
    let sample = Sample::start("new");
    let mut client = sample.login();
    fs::write(sample.dir.join("alice/5.eml"), ".\n..\nx").unwrap();
    assert!(ask(&mut client, "STAT").starts_with("+OK 4 "));
    assert!(ask(&mut client, "QUIT").starts_with("+OK"));
    let mut client = sample.login();
    assert_eq!(ask(&mut client, "LIST 5"), "+OK 5 10");
    assert_eq!(ask(&mut client, "RETR 5"), "+OK 10 octets");
    assert_eq!(rest(&mut client), ["..", "...", "x"]);
}

#[test]
fn nonsense_is_refused_and_the_session_goes_on() {
    let sample = Sample::start("nonsense");
    let mut client = sample.connect();
    for command in [
        "STAT",
        "PASS desk",
        "USER",
        "RETR 1",
        "",
        " ",
        "XYZZY",
        "USER ../alice",
    ] {
        let answer = ask(&mut client, command);
        let named = command == "USER ../alice";
        assert_eq!(answer.starts_with("+OK"), named, "{command}: {answer}");
    }
    assert!(ask(&mut client, "PASS desk").starts_with("-ERR [AUTH]"));
    let mut client = sample.login();
    for command in [
        "RETR",
        "RETR 0",
        "RETR 5",
        "RETR -1",
        "RETR +1",
        "RETR 1 1",
        "RETR 99999999999999999999",
        "TOP 1",
        "TOP 1 -1",
        "TOP 1 x",
        "LIST x",
        "DELE",
        "STAT 1",
        "QUIT now",
        "USER alice",
        "UIDL \u{e9}",
        "NOOP ",
    ] {
        let answer = ask(&mut client, command);
        assert!(answer.starts_with("-ERR"), "{command}: {answer}");
    }
    assert!(ask(&mut client, "NOOP").starts_with("+OK"));
}

#[test]
fn one_maildrop_is_open_once() {
    let sample = Sample::start("lock");
    let client = sample.login();
    let mut second = sample.connect();
    ask(&mut second, "USER alice");
    assert!(ask(&mut second, "PASS desk").starts_with("-ERR [IN-USE]"));
    drop(client);
}

#[test]
fn three_wrong_passwords_end_the_connection_and_the_ninth_connection_is_refused() {
    let sample = Sample::start("limits");
    let mut client = sample.connect();
    for _ in 0..3 {
        ask(&mut client, "USER alice");
        assert!(ask(&mut client, "PASS wrong").starts_with("-ERR [AUTH]"));
    }
    assert_eq!(line(&mut client), "");
    let _held: Vec<_> = (0..7).map(|_| sample.connect()).collect();
    let mut last = loop {
        // The place of the one above may not be free yet.
        let stream = TcpStream::connect(("127.0.0.1", sample.port)).unwrap();
        let mut client = BufReader::new(stream);
        if line(&mut client).starts_with("+OK") {
            break client;
        }
    };
    let stream = TcpStream::connect(("127.0.0.1", sample.port)).unwrap();
    assert!(line(&mut BufReader::new(stream)).starts_with("-ERR [SYS/TEMP]"));
    assert!(ask(&mut last, "QUIT").starts_with("+OK"));
}

#[test]
fn an_endless_line_ends_the_connection() {
    let sample = Sample::start("endless");
    let mut client = sample.connect();
    // It may end before all is written.
    let _ = client.get_mut().write_all(&[b'a'; 1 << 20]);
    let mut left = Vec::new();
    let _ = client.read_to_end(&mut left);
    assert_eq!(left, b"");
}

#[test]
fn commands_at_every_chunk_size_get_the_same_answers() {
    let sample = Sample::start("chunks");
    let input = b"CAPA\r\nUSER alice\r\nPASS desk\r\nUIDL\nTOP 3 2\r\nRETR 3\r\nNOOP\r\nQUIT\r\n";
    let mut expected: Option<Vec<u8>> = None;
    for chunk in [input.len(), 1, 2, 3, 5, 7, 11, 31] {
        let mut client = TcpStream::connect(("127.0.0.1", sample.port)).unwrap();
        client.set_nodelay(true).unwrap();
        for piece in input.chunks(chunk) {
            client.write_all(piece).unwrap();
        }
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).unwrap();
        assert!(answers.ends_with(b"+OK good-bye\r\n"));
        assert_eq!(expected.get_or_insert(answers.clone()), &answers, "{chunk}");
    }
}

#[test]
fn curl_gets_every_mail_as_it_is_and_reads_at_the_desk() {
    let sample = Sample::start("curl");
    for (number, name) in (1..).zip(["1-welcome", "2-greetings", "3-dots", "4-minutes"]) {
        let stored = sample.stored(&format!("{name}.eml"));
        assert_eq!(sample.curl(&number.to_string(), &[]), stored, "{name}");
    }
    sample.curl("1", &["-I", "-X", "DELE"]);
    assert!(!sample.dir.join("alice/1-welcome.eml").exists());
}

#[test]
fn poplib_gets_every_mail_as_it_is() {
    let sample = Sample::start("poplib");
    let script = "\
import poplib, sys
p = poplib.POP3('127.0.0.1', int(sys.argv[1]), timeout=10)
assert p.capa()['EXPIRE'] == ['NEVER']
p.user('alice'); p.pass_('desk')
for entry in p.list()[1]:
    number, size = map(int, entry.split())
    lines = p.retr(number)[1]
    text = b''.join(line + b'\\r\\n' for line in lines)
    assert len(text) == size
    sys.stdout.buffer.write(text)
p.quit()
";
    let output = Command::new("python3")
        .args(["-c", script, &sample.port.to_string()])
        .output()
        .expect("python3 is installed by scripts/test");
    assert!(output.status.success(), "{output:?}");
    let all: Vec<u8> = ["1-welcome", "2-greetings", "3-dots", "4-minutes"]
        .iter()
        .flat_map(|name| sample.stored(&format!("{name}.eml")))
        .collect();
    assert!(output.stdout == all);
}

#[test]
fn only_loopback_is_served() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let error = serve_until(Path::new("/nonexistent"), listener, io::empty()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
