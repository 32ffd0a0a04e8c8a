//! The thin binary: arguments, logging, exit code.

mod cli;
mod generate;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use tapguard::app::{self, AppError, Options, Origin, Reload};
use tapguard::capture::{self, Interface, LinkState, Medium};
use tapguard::config;
use tapguard::config::{Config, Inputs, LogLevel, key};
use tapguard::sys::ServiceManager;
use tapguard::sys::one_line;
use tapguard::time::Span;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => {
            let mut flags = args.settings.set.clone();
            if !args.interface.is_empty() {
                flags.push(("network.interface".to_owned(), args.interface.join(",")));
            }
            let speed = args.serving.speed;
            let origin = if args.or_demo { Origin::TapOrDemo { speed } } else { Origin::Tap };
            serve(&args.settings, &args.serving, flags, origin)
        }
        Command::Demo(args) => {
            let origin = Origin::Demo { speed: args.serving.speed };
            serve(&args.settings, &args.serving, args.settings.set.clone(), origin)
        }
        Command::Replay(args) => replay(args),
        Command::Doctor(args) => match doctor(args) {
            Ok(diagnosis) => return ExitCode::from(diagnosis.exit_code()),
            Err(error) => Err(error),
        },
        Command::CheckConfig(args) => check_config(&args),
        Command::Interfaces => interfaces(),
        Command::Generate(args) => generate::write(&args.directory).map_err(AppError::Output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has enough.
        Err(AppError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell when standard error is gone.
            drop(writeln!(io::stderr(), "tapguard: {}", one_line(&error)));
            ExitCode::from(error.exit_code())
        }
    }
}

fn serve(
    settings: &cli::Settings,
    serving: &cli::Serving,
    mut flags: Vec<(String, String)>,
    origin: Origin,
) -> Result<(), AppError> {
    flags.extend(serving.listen.clone().map(|address| ("http.listen".to_owned(), address)));
    let inputs = inputs(settings, flags);
    let config = Config::load(&inputs)?;
    let log = log(config.log);
    let options = Options {
        origin,
        store: serving.store.clone(),
        new_token: serving.new_token,
        manager: service_manager(),
    };
    let reload = Reload {
        inputs,
        // The filter lives as long as the process.
        log: Box::new(move |level| drop(log.reload(filter(level)))),
    };
    app::run(&config, &options, reload, &mut io::stdout())
}

fn replay(args: cli::Replay) -> Result<(), AppError> {
    let config = load(&args.settings, args.settings.set.clone())?;
    log(config.log);
    let format = format(args.format);
    let learn = args.learn.map(Span::from_secs);
    let request = app::Replay {
        files: args.files,
        learn,
        format,
        evidence: args.evidence.map(|directory| (directory, config.store)),
        meter: config.meter,
        judge: config.judge,
    };
    let summary = app::replay(&request, &mut BufWriter::new(io::stdout().lock()))?;
    tracing::info!(
        frames = summary.counters.frames,
        broken_records = summary.counters.broken_records,
        faults = summary.faults,
        flows = summary.flows,
        devices = summary.devices,
        alerts = summary.raised,
        no_model = summary.no_model,
        "replayed"
    );
    if args.decoding {
        // There is nobody left to tell when standard error is gone.
        drop(write!(io::stderr(), "{}", summary.decoding));
    }
    Ok(())
}

fn doctor(args: cli::Doctor) -> Result<app::Diagnosis, AppError> {
    let mut flags = args.settings.set.clone();
    flags.extend(args.interface.map(|name| ("network.interface".to_owned(), name)));
    let config = load(&args.settings, flags)?;
    log(config.log);
    let request =
        app::Doctor { files: args.files, listen: Span::from_secs(args.seconds), format: format(args.format) };
    app::doctor(&config, &request, &mut BufWriter::new(io::stdout().lock()))
}

const fn format(format: cli::Format) -> app::Format {
    match format {
        cli::Format::Text => app::Format::Text,
        cli::Format::Json => app::Format::Json,
    }
}

fn check_config(args: &cli::CheckConfig) -> Result<(), AppError> {
    let mut out = io::stdout().lock();
    if args.keys {
        for known in key::KEYS {
            writeln!(out, "{}\n    {} Takes {}.", known.path, known.meaning, known.kind)
                .map_err(AppError::Output)?;
        }
        return Ok(());
    }
    let config = load(&args.settings, args.settings.set.clone())?;
    for source in &config.capture {
        capture::check_filter(source.filter())?;
    }
    writeln!(out, "the configuration is good").map_err(AppError::Output)
}

fn interfaces() -> Result<(), AppError> {
    let all = capture::interfaces()?;
    let chosen = capture::choose(&all);
    let mut out = io::stdout().lock();
    for interface in &all {
        writeln!(out, "{}", described(interface)).map_err(AppError::Output)?;
    }
    match chosen {
        Some((interface, why)) => writeln!(out, "auto would choose {}: {why}", interface.name),
        None => writeln!(out, "auto would find none"),
    }
    .map_err(AppError::Output)
}

fn described(interface: &Interface) -> String {
    let state = match interface.state {
        LinkState::Down => "down",
        LinkState::Up => "no carrier",
        LinkState::Running => "running",
    };
    let medium = match interface.medium {
        Medium::Wired => "wired",
        Medium::Wireless => "wireless",
        Medium::Virtual => "virtual",
        Medium::Loopback => "loopback",
    };
    let received = interface.received.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let addresses: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
    format!(
        "{:15} {state:10} {medium:8} {received:>12} packets received  {}",
        interface.name,
        addresses.join(" ")
    )
}

fn load(settings: &cli::Settings, flags: Vec<(String, String)>) -> Result<Config, config::ConfigError> {
    Config::load(&inputs(settings, flags))
}

/// What the configuration is put together from. The file of the default place is read when it is there.
fn inputs(settings: &cli::Settings, flags: Vec<(String, String)>) -> Inputs {
    let ours = |name: &str| name != "TAPGUARD_CONFIG";
    let variables =
        std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    Inputs {
        file: Some(settings.config.clone().unwrap_or_else(|| PathBuf::from(Config::FILE))),
        required: settings.config.is_some(),
        environment: variables.filter(|(name, _)| ours(name)).collect(),
        overrides: flags,
        ..Inputs::default()
    }
}

/// Who started us, where it left an address.
fn service_manager() -> ServiceManager {
    ServiceManager::from_environment(std::process::id(), |name| std::env::var_os(name)).unwrap_or_else(
        |error| {
            tracing::warn!("the service manager will hear nothing: NOTIFY_SOCKET is not usable: {error}");
            ServiceManager::default()
        },
    )
}

/// Begins to log; what is logged can be changed later through what is given back.
fn log(level: LogLevel) -> reload::Handle<LevelFilter, Registry> {
    let (filter, handle) = reload::Layer::new(filter(level));
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(colour);
    tracing_subscriber::registry().with(filter).with(lines).init();
    handle
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
