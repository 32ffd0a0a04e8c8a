//! The command line: what may be asked, with examples.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Learns what is normal on a mirrored network port and raises few, explained alerts.
#[derive(Debug, Parser)]
#[command(name = "tapguard", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  tapguard interfaces                          what there is to listen on
  tapguard run --interface eth1                the daemon on a mirror port
  tapguard demo                                a generated network, then http://localhost:8080
  tapguard replay --learn 3600 day.pcapng      learn from the first hour, judge the rest
  tapguard doctor --interface eth1             is the mirror port as it should be?
  tapguard check-config --config tapguard.toml

Settings come from /etc/tapguard/tapguard.toml, conf.d/*.toml beside it, environment variables such as
TAPGUARD_MQTT__HOST, and flags; later ones win.
Exit codes: 0 well, 2 wrong arguments, 65 bad capture file, 66 missing file, 69 no interface or port, 73 no store,
74 read or write failed, 75 store in use, 76 the doctor found something, 77 no permission, 78 bad configuration.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The daemon, on a network interface.
    Run(Run),
    /// The daemon on a generated network with attacks, at accelerated time; nothing of it is real traffic.
    Demo(Demo),
    /// Capture files through the same pipeline; alerts go to standard output.
    Replay(Replay),
    /// Listens for a while and says what is wrong with the mirror, the clock, the disk or the broker, and what helps.
    Doctor(Doctor),
    /// Says whether a configuration is good; changes nothing.
    CheckConfig(CheckConfig),
    /// The interfaces that can be listened on, and which one `auto` would choose.
    Interfaces,
    /// Writes man pages and completions, for those who package.
    #[command(hide = true)]
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Configuration file.
    #[arg(long, value_name = "FILE", env = "TAPGUARD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Sets any key of the configuration; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct Serving {
    /// Directory of the store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Address of the page and the API, such as 127.0.0.1:8080.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Make a new admin token and show it.
    #[arg(long)]
    pub(crate) new_token: bool,
    /// Times real time at which the generated network is played.
    #[arg(long, value_name = "TIMES", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) speed: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) serving: Serving,
    /// Interface to listen on; auto chooses one. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Vec<String>,
    /// Play the generated network where there is no permission to capture or no traffic.
    #[arg(long)]
    pub(crate) or_demo: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) serving: Serving,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Capture files in order: pcap or pcapng, gzip or not; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Capture time to learn from before judging, in seconds; without it there is no baseline.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) learn: Option<u64>,
    /// Directory for the packets around each alert, of its devices: a pcapng named after the alert's id. The oldest of
    /// such files in it make room at evidence.quota_mb.
    #[arg(long, value_name = "DIR")]
    pub(crate) evidence: Option<PathBuf>,
    /// How alerts are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// At the end, tell on standard error how far packets were decoded and which types were unknown.
    #[arg(long)]
    pub(crate) decoding: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Interface to listen on; auto chooses one.
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    pub(crate) interface: Option<String>,
    /// Time to listen.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Capture files to look at instead; - is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How it is told.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Lists every key with what it takes and what it does.
    #[arg(long)]
    pub(crate) keys: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Directory to write into; it is made where it is missing.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected, such as mqtt.host=broker.lan")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}
