//! Images and root filesystems made of the programs of this machine: busybox-static, and nginx-light with its libraries.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::command;
use crate::docker::Docker;

/// Busybox with all its applets.
pub const BUSYBOX: &str = "busybox";
/// Busybox and nginx: serves the text of the variable `PAGE` on the port of the variable `PORT` (80).
pub const NGINX: &str = "nginx";

const NGINX_CONF: &str = r#"
daemon off;
worker_processes 1;
error_log stderr notice;
pid /tmp/nginx.pid;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server { listen @PORT@; location / { return 200 "@PAGE@\n"; } }
}
"#;

const NGINX_CMD: &str = "sed -e s/@PORT@/${PORT:-80}/ -e s/@PAGE@/${PAGE:-hello}/ /etc/nginx/nginx.conf.in >/tmp/nginx.conf; \
                         exec nginx -c /tmp/nginx.conf";

/// Imports both images into the daemon; `folder` takes the trees they are made of.
pub fn import_all(docker: &Docker, folder: &Path) {
    let tree = folder.join("image");
    busybox_tree(&tree);
    import(docker, &tree, BUSYBOX, &["CMD [\"/bin/sh\"]"]);
    nginx_files(&tree);
    import(docker, &tree, NGINX, &[&format!("CMD [\"/bin/sh\", \"-c\", \"{NGINX_CMD}\"]")]);
    fs::remove_dir_all(&tree).unwrap();
}

/// Makes a root filesystem with busybox at `root`.
pub fn busybox_tree(root: &Path) {
    for directory in
        ["bin", "sbin", "usr/bin", "usr/sbin", "etc", "tmp", "root", "var", "proc", "sys", "dev", "mnt", "home"]
    {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let busybox = in_path("busybox");
    fs::copy(&busybox, root.join("bin/busybox")).unwrap();
    let applets = command::run(Command::new(&busybox).arg("--list-full")).ok();
    for applet in applets.stdout.lines().filter(|applet| *applet != "bin/busybox") {
        if let Some(parent) = Path::new(applet).parent() {
            fs::create_dir_all(root.join(parent)).unwrap();
        }
        symlink("/bin/busybox", root.join(applet)).unwrap();
    }
    let users =
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nalice:x:1000:1000::/home:/bin/sh\n";
    fs::write(root.join("etc/passwd"), users).unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\nalice:x:1000:\nstaff:x:50:alice\n").unwrap();
}

/// Copies a program of this machine, given by its name or whole path, to `/usr/bin` of a root filesystem, and its shared libraries
/// to where they are here.
pub fn add_program(root: &Path, name: &str) {
    let program = in_path(name);
    fs::copy(&program, root.join("usr/bin").join(program.file_name().unwrap())).unwrap();
    for library in libraries(&program) {
        let copy = root.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&library, copy).unwrap();
    }
}

fn nginx_files(root: &Path) {
    add_program(root, "nginx");
    fs::create_dir_all(root.join("etc/nginx")).unwrap();
    fs::create_dir_all(root.join("var/log/nginx")).unwrap();
    fs::create_dir_all(root.join("var/lib/nginx")).unwrap();
    fs::create_dir_all(root.join("usr/share/nginx")).unwrap();
    fs::write(root.join("etc/nginx/nginx.conf.in"), NGINX_CONF).unwrap();
}

/// The shared libraries of `program`, and the loader; nothing if it is static, which ldd reports as a failure.
fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let listing = command::run(Command::new("ldd").arg(program));
    listing.stdout.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn in_path(program: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed (packages busybox-static, nginx-light)"))
}

/// Redis with its client, on port 6379.
pub const REDIS: &str = "redis";

/// Imports redis, whose package must be installed.
pub fn import_redis(docker: &Docker, folder: &Path) {
    let tree = folder.join("redis");
    busybox_tree(&tree);
    add_program(&tree, "redis-server");
    add_program(&tree, "redis-cli");
    import(docker, &tree, REDIS, &["CMD [\"redis-server\", \"--save\", \"\", \"--protected-mode\", \"no\"]"]);
    fs::remove_dir_all(&tree).unwrap();
}

/// Python with the modules that a small server needs.
pub const PYTHON: &str = "python";

/// Debian's Python, whatever else is in PATH.
pub const PYTHON_PROGRAM: &str = "/usr/bin/python3";

/// Imports an image that runs the Python program `script`.
pub fn import_python(docker: &Docker, folder: &Path, script: &str) {
    let tree = folder.join("python");
    busybox_tree(&tree);
    add_program(&tree, PYTHON_PROGRAM);
    let place = command::run(Command::new(PYTHON_PROGRAM).args(["-c", "import os; print(os.__file__)"])).ok().text();
    let modules = Path::new(&place).parent().unwrap();
    let copy = tree.join(modules.strip_prefix("/").unwrap());
    fs::create_dir_all(&copy).unwrap();
    for name in ["encodings", "collections", "importlib", "re"] {
        command::run(Command::new("cp").arg("-r").arg(modules.join(name)).arg(&copy)).ok();
    }
    for entry in fs::read_dir(modules).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|extension| extension == "py") {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    fs::write(tree.join("server.py"), script).unwrap();
    import(docker, &tree, PYTHON, &["CMD [\"python3\", \"-S\", \"/server.py\"]"]);
    fs::remove_dir_all(&tree).unwrap();
}

/// A tar archive of `tree`, beside it.
pub fn archive(tree: &Path) -> PathBuf {
    let archive = tree.with_extension("tar");
    command::run(Command::new("tar").arg("-C").arg(tree).arg("-cf").arg(&archive).arg(".")).ok();
    archive
}

/// What holds a pod's namespaces open: busybox, asleep.
pub const PAUSE: &str = "pause";

/// The images [`BUSYBOX`] and [`PAUSE`] as `docker save` would write them; `folder` takes what they are made of.
pub fn docker_archive(folder: &Path) -> PathBuf {
    let (tree, image) = (folder.join("layer"), folder.join("image"));
    busybox_tree(&tree);
    fs::create_dir_all(&image).unwrap();
    fs::rename(archive(&tree), image.join("layer.tar")).unwrap();
    let sum = command::run(Command::new("sha256sum").arg(image.join("layer.tar"))).ok().stdout;
    let digest = format!("sha256:{}", sum.split_whitespace().next().unwrap());
    let commands = [(BUSYBOX, json!(["/bin/sh"])), (PAUSE, json!(["/bin/sleep", "1000000"]))];
    let manifest = commands.map(|(name, command)| {
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"], "Cmd": command },
            "rootfs": { "type": "layers", "diff_ids": [digest] },
        });
        let file = format!("{name}.json");
        fs::write(image.join(&file), config.to_string()).unwrap();
        json!({ "Config": file, "RepoTags": [format!("{name}:latest")], "Layers": ["layer.tar"] })
    });
    fs::write(image.join("manifest.json"), json!(manifest).to_string()).unwrap();
    archive(&image)
}

/// Makes an image of a root filesystem; `changes` are those of `docker import --change`.
pub fn import(docker: &Docker, tree: &Path, image: &str, changes: &[&str]) {
    let archive = archive(tree);
    let path = "ENV PATH=/bin:/sbin:/usr/bin:/usr/sbin";
    let mut args = vec!["import", "--change", path];
    for change in changes {
        args.extend(["--change", change]);
    }
    let archive_name = archive.to_str().unwrap();
    args.extend([archive_name, image]);
    docker.call(&args).ok();
    fs::remove_file(&archive).unwrap();
}
