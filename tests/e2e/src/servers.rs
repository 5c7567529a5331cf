//! Real servers, and what they need.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program that serves until this is dropped.
pub struct Server(pub Child);

impl Server {
    /// Starts it.
    pub fn start(command: &mut Command) -> Server {
        Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Waits until it takes connections.
    pub fn wait(self, address: &str) -> Server {
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has workers ends them first.
        crate::signal(self.0.id(), libc::SIGTERM);
        let _ = self.0.wait();
    }
}

/// What a program says, and its number.
pub fn output_of(command: &mut Command) -> (u32, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    (pid, String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned())
}

/// A port that nobody has.
pub fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A key and a certificate for `tls.tarsius`, as files.
pub fn certificate(dir: &Path) -> [String; 2] {
    let [key, own] = ["key.pem", "cert.pem"].map(|name| dir.join(name).to_str().unwrap().to_string());
    let new =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let made = Command::new("openssl")
        .args(new)
        .args(["-subj", "/CN=tls.tarsius", "-keyout", &key, "-out", &own])
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    [key, own]
}

/// An nginx with two workers, which has `page` to give: by HTTP at one port and by TLS at another.
pub fn nginx(dir: &Path, [http, https]: [u16; 2]) -> Server {
    let [key, own] = certificate(dir);
    let at = dir.display();
    fs::write(dir.join("page"), b"what the page says\n").unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = temporary.map(|kind| format!("{kind}_temp_path {at}/{kind}; ")).concat();
    let text = format!(
        "daemon off; user root; worker_processes 2; pid {at}/nginx.pid; error_log {at}/error.log;
         events {{ worker_connections 64; }}
         http {{ access_log off; {temporary}
           server {{ listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl http2; root {at};
                    ssl_certificate {own}; ssl_certificate_key {key}; }} }}"
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, text).unwrap();
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let server =
        Server::start(Command::new(program).arg("-c").arg(file).arg("-e").arg(dir.join("error.log")));
    server.wait(&format!("127.0.0.1:{https}"))
}

/// A dnsmasq that says that `dns.tarsius` is 192.0.2.7.
pub fn dnsmasq(host: &str, port: u16) -> Server {
    let options =
        ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces", "--conf-file=/dev/null"];
    let number = port.to_string();
    let more = ["--user=root", "--pid-file", "--address=/dns.tarsius/192.0.2.7", "--listen-address", host];
    let mut command = Command::new("dnsmasq");
    Server::start(command.args(options).args(more).args(["--port", &number])).wait(&format!("{host}:{port}"))
}

/// An sshd.
pub fn sshd(dir: &Path, port: u16) -> Server {
    let key = dir.join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    fs::create_dir_all("/run/sshd").unwrap();
    let options = ["-D", "-e", "-f", "/dev/null", "-o", "ListenAddress=127.0.0.1", "-p"];
    let mut command = Command::new("/usr/sbin/sshd");
    Server::start(command.args(options).arg(port.to_string()).arg("-h").arg(&key))
        .wait(&format!("127.0.0.1:{port}"))
}
