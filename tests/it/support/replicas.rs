//! A ZooKeeper, and what servers need to be replicas of each other with it.
//!
//! It is Debian's package `zookeeper`. Ports are asked of the system and given back before the
//! servers take them; these tests run by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::eventually;
use super::redis_set::free_port;

/// A ZooKeeper of a test's own; it ends with the test.
pub struct ZooKeeper {
    process: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl ZooKeeper {
    pub fn start() -> ZooKeeper {
        let folder = tempfile::tempdir().unwrap();
        let (port, file) = (free_port(), folder.path().join("zoo.cfg"));
        let config = format!(
            "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n",
            folder.path().display()
        );
        std::fs::write(&file, config).unwrap();
        let process = Command::new("java")
            .args(["-cp", "/usr/share/java/zookeeper.jar"])
            .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("java; install Debian's package zookeeper");
        eventually("ZooKeeper", || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            // It may take connections before it answers any.
            stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            stream.write_all(b"srvr").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.contains("Mode: ").then_some(())
        });
        ZooKeeper { process, port, _folder: folder }
    }

    /// Elements of the configuration of a replica of the shard that `cluster` describes.
    pub fn replica(&self, name: &str, cluster: &str) -> String {
        let port = self.port;
        format!(
            "<zookeeper><node><host>127.0.0.1</host><port>{port}</port></node></zookeeper>\
             <macros><shard>1</shard><replica>{name}</replica></macros>\
             <interserver_http_port>{}</interserver_http_port>\
             <interserver_http_host>127.0.0.1</interserver_http_host>\
             <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>{cluster}",
            free_port()
        )
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The cluster `logs`: one shard, whose replicas have these ports.
pub fn cluster(ports: &[u16]) -> String {
    let replica =
        |port: &u16| format!("<replica><host>127.0.0.1</host><port>{port}</port></replica>");
    let replicas: String = ports.iter().map(replica).collect();
    format!(
        "<remote_servers><logs><shard><internal_replication>true</internal_replication>{replicas}\
         </shard></logs></remote_servers>"
    )
}
