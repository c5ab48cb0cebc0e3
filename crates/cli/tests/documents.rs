//! The generator of the manual pages and completions, and the help.

use std::path::Path;
use std::process::Command;

#[test]
#[expect(clippy::disallowed_methods, reason = "the generator is a program")]
fn pages_and_completions_are_written_for_every_command() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents");
    // `cargo test` builds the examples beside the programs; a run of this test alone needs `cargo build --examples`.
    let generator = Path::new(env!("CARGO_BIN_EXE_lightship")).with_file_name("examples").join("man-and-completions");
    assert!(Command::new(generator).arg(&directory).status().unwrap().success());
    for command in cli::commands::VERBS.iter().map(|verb| verb.name) {
        let page = std::fs::read_to_string(directory.join(format!("man8/lightship-{command}.8"))).unwrap();
        assert!(page.contains(&format!("lightship {command}")), "{command}: {page}");
    }
    let exec = std::fs::read_to_string(directory.join("man8/lightship-exec.8")).unwrap();
    assert!(exec.contains("additional\\-gids"), "{exec}");
    for file in ["bash/lightship.bash", "zsh/_lightship", "fish/lightship.fish"] {
        let script = std::fs::read_to_string(directory.join(file)).unwrap();
        assert!(script.contains("additional-gids") && script.contains("console-socket"), "{file}");
    }
    let bash = std::fs::read_to_string(directory.join("bash/lightship.bash")).unwrap();
    assert!(bash.contains("-W \"table json\"") && bash.contains("compgen -f") && !bash.contains("-W \"\""), "{bash}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_help_lists_every_command_in_order() {
    let help = cli::help::program();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        names.join(" "),
        "create start run exec kill delete state list ps pause resume checkpoint restore update events net ports spec features \
         help"
    );
}
