//! Man pages and completions out of the command line's own description. Where they are installed is the package's
//! business.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::Cli;

/// What the command line's description does not know.
const SIGNALS: [(&str, &str); 2] = [
    (
        "SIGTERM, SIGINT",
        "An orderly stop: what was captured is judged, stored and told. A second SIGINT does not wait.",
    ),
    (
        "SIGHUP",
        "Reads the configuration again. One that is not good changes nothing. Log level, MQTT, allowed host names, \
         thresholds and the capture change at once; the log names what needs a restart.",
    ),
];
const FILES: [(&str, &str); 3] = [
    ("/etc/tapguard/tapguard.toml", "The configuration; every key is in it with its default."),
    ("/etc/tapguard/conf.d/*.toml", "Read after it, by name; later values win."),
    ("/var/lib/tapguard", "The store: baseline, model, devices, alerts and what was set remotely."),
];

/// Writes `tapguard.1`, a page for each subcommand, and completions for bash, zsh and fish.
///
/// # Errors
/// When the directory or a file in it cannot be written.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // Help has no page of its own.
    let mut pages = Cli::command().disable_help_subcommand(true);
    pages.build();
    fs::write(directory.join("tapguard.1"), main_page(&pages)?)?;
    for part in pages.get_subcommands().filter(|c| !c.is_hide_set()) {
        let man = Man::new(part.clone()).manual("tapguard");
        man.generate_to(directory)?;
    }
    let mut command = Cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "tapguard", directory)?;
    }
    Ok(())
}

fn main_page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).manual("tapguard");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    section("SIGNALS", &SIGNALS).to_writer(&mut page)?;
    section("FILES", &FILES).to_writer(&mut page)?;
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

fn section(name: &str, entries: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [name]);
    for (term, text) in entries {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
    roff
}
