//! The result, for people or as one line of JSON.

use std::fmt::Write;
use std::time::Duration;

use crate::options::{Options, Output};

pub struct Report {
    mode: &'static str,
    connections: usize,
    depth: usize,
    failed: u64,
    troubles: Vec<String>,
    load: Option<Load>,
    memory: Option<Memory>,
}

pub struct Load {
    pub requests: u64,
    pub time: Duration,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Nanoseconds of the server's threads on a processor, and of the load generator's own.
    pub server_time: Option<u64>,
    pub own_time: u64,
    /// p50, p99 and p99.9, in nanoseconds.
    pub latencies: [u64; 3],
}

pub struct Memory {
    pub connections: u64,
    pub before: u64,
    pub after: u64,
}

impl Report {
    pub fn new(options: &Options, failed: u64, troubles: Vec<String>) -> Self {
        let (mode, connections, depth) = (options.mode.name(), options.connections, options.depth);
        Self {
            mode,
            connections,
            depth,
            failed,
            troubles,
            load: None,
            memory: None,
        }
    }

    pub fn with_load(self, load: Load) -> Self {
        Self {
            load: Some(load),
            ..self
        }
    }

    /// Of connections that nothing else tells of.
    pub fn with_failures(mut self, failed: u64, troubles: Vec<String>) -> Self {
        self.failed += failed;
        self.troubles.extend(troubles);
        self
    }

    pub fn with_memory(self, memory: Memory) -> Self {
        Self {
            memory: Some(memory),
            ..self
        }
    }

    /// p50, p99 and p99.9, in nanoseconds.
    #[cfg(test)]
    pub fn latencies(&self) -> Option<[u64; 3]> {
        self.load.as_ref().map(|load| load.latencies)
    }

    pub fn has_errors(&self) -> bool {
        self.failed > 0
    }

    pub fn print(&self, output: Output) {
        let figures = self.figures();
        match output {
            Output::Json => {
                let mut line = format!("{{\"mode\":\"{}\"", self.mode);
                for (name, value) in &figures {
                    let _ = write!(line, ",\"{name}\":{value}");
                }
                println!("{line}}}");
            }
            Output::Text => {
                println!("{}", self.mode);
                for (name, value) in &figures {
                    println!("  {:28} {value}", name.replace("9_9", "9.9").replace('_', " "));
                }
            }
        }
        for trouble in &self.troubles {
            eprintln!("error: {trouble}");
        }
    }

    /// Names and values, in the order of printing; a value is valid JSON.
    fn figures(&self) -> Vec<(&'static str, String)> {
        let mut figures = vec![
            ("connections", self.connections.to_string()),
            ("depth", self.depth.to_string()),
        ];
        figures.push(("errors", self.failed.to_string()));
        if let Some(load) = &self.load {
            let seconds = load.time.as_secs_f64().max(f64::MIN_POSITIVE);
            let per_request =
                |nanoseconds: u64| format!("{:.4}", nanoseconds as f64 / 1e3 / load.requests.max(1) as f64);
            let per_second = |count: u64| format!("{:.1}", count as f64 / seconds);
            figures.push(("requests", load.requests.to_string()));
            figures.push(("seconds", format!("{seconds:.4}")));
            figures.push(("requests_per_second", per_second(load.requests)));
            figures.push(("bytes_sent_per_second", per_second(load.bytes_sent)));
            figures.push(("bytes_received_per_second", per_second(load.bytes_received)));
            if let Some(time) = load.server_time {
                figures.push(("server_cpu_us_per_request", per_request(time)));
                figures.push(("server_cpu_share", format!("{:.4}", time as f64 / 1e9 / seconds)));
            }
            figures.push(("load_cpu_us_per_request", per_request(load.own_time)));
            figures.push(("load_cpu_share", format!("{:.4}", load.own_time as f64 / 1e9 / seconds)));
            for (name, latency) in ["p50_us", "p99_us", "p99_9_us"].into_iter().zip(load.latencies) {
                figures.push((name, format!("{:.1}", latency as f64 / 1e3)));
            }
        }
        if let Some(memory) = &self.memory {
            let difference = memory.after as f64 - memory.before as f64;
            figures.push(("resident_bytes_before", memory.before.to_string()));
            figures.push(("resident_bytes_after", memory.after.to_string()));
            figures.push((
                "resident_bytes_per_connection",
                format!("{:.1}", difference / memory.connections.max(1) as f64),
            ));
        }
        figures
    }
}
