//! A server with the protocol of S3 (`s3_server.py`), and test processes that use it.
#![allow(dead_code)] // each test binary uses a part of it

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::tools::{child_role, run, this_test_again};

/// The server of this test process. It has the bucket `bucket`.
pub struct BucketServer {
    port: u16,
}

impl BucketServer {
    /// Runs `test` with a server of its own, in a process of its own: the address and the credentials are in the
    /// environment, which belongs to a whole process.
    pub fn with(test: impl FnOnce(&BucketServer)) {
        match child_role() {
            Some(port) => test(&BucketServer { port: port.parse().unwrap() }),
            None => {
                let thread = std::thread::current();
                let name = thread.name().expect("the harness names the thread after the test").to_string();
                let (mut server, port) = start();
                let home = tempfile::tempdir().unwrap();
                let mut child = this_test_again(&std::env::current_exe().unwrap(), &name, &port.to_string());
                environment(&mut child, port, home.path());
                let said = run(&mut child);
                server.kill().unwrap();
                server.wait().unwrap();
                let said = String::from_utf8_lossy(&said);
                assert!(said.contains("1 passed"), "no test was run: {said}");
                println!("{said}");
            }
        }
    }

    /// Runs `test` with the URL of a bucket: one of a server of its own, or that of the variable IBT_TEST_BUCKET, with
    /// the credentials of the environment.
    pub fn with_url(test: impl FnOnce(&str)) {
        match std::env::var("IBT_TEST_BUCKET") {
            Ok(url) => test(&url),
            Err(_) => BucketServer::with(|_| test("s3://bucket")),
        }
    }

    /// This test again, as a process that can be killed.
    pub fn this_test_again(&self, test: &str) -> Command {
        this_test_again(&std::env::current_exe().unwrap(), test, &self.port.to_string())
    }

    /// Replaces the settings of the server and forgets the counts: see `s3_server.py`.
    pub fn set(&self, settings: Value) {
        self.control("POST", &settings.to_string());
    }

    /// The next requests of a kind, or of all kinds ("*"), get a fault.
    pub fn fail(&self, op: &str, fault: &str, times: u32) {
        let status = fault.parse::<u32>().ok();
        let fault = if status.is_some() { "status" } else { fault };
        self.set(
            json!({"faults": [{"op": op, "do": fault, "status": status, "times": times, "seconds": 30}]}),
        );
    }

    /// The requests since the last call of [`BucketServer::set`], by their kind.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.control("GET", "")["counts"].clone()).unwrap()
    }

    /// The faults that requests will still get.
    pub fn faults_left(&self) -> Value {
        self.control("GET", "")["faults_left"].clone()
    }

    /// The sizes of all objects, by their keys.
    pub fn objects(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.control("GET", "")["objects"].clone()).unwrap()
    }

    /// The number of uploads in parts that were neither completed nor aborted.
    pub fn unfinished(&self) -> u64 {
        self.control("GET", "")["uploads"].as_u64().unwrap()
    }

    /// Puts an object into the bucket, as another program does.
    pub fn put(&self, key: &str, content: &str) {
        let auth = "authorization: x Credential=key/1/here/s3/aws4_request\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n";
        self.request("PUT", &format!("/bucket/{key}"), auth, content);
    }

    fn control(&self, method: &str, body: &str) -> Value {
        serde_json::from_str(&self.request(method, "/-control", "", body)).unwrap()
    }

    /// Sends a request and returns the body of the answer, which must be a success.
    fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let len = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {len}\r\n\r\n{body}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_string()
    }
}

/// Starts a server that ends with this process, at the latest.
fn start() -> (Child, u16) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/s3_server.py");
    let mut python = Command::new("python3");
    let mut server = python.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
    (server, port.trim().parse().unwrap())
}

/// Sets the variables by which a program finds the server. No other variable or file of AWS has an effect.
fn environment(command: &mut Command, port: u16, home: &Path) {
    for (name, _) in std::env::vars() {
        if name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ALLOW_HTTP", "true");
    command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")).env("AWS_REGION", "here");
    command
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("NO_PROXY", "127.0.0.1");
}
