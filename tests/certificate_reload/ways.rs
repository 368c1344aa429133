//! The ways in which those who renew certificates put them where they are served from.

use super::certificates::{Made, make};
use super::{addresses, folder, kept, logged, serve, shows, use_again, wait_for_swap};
use log::Level;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

/// Puts a pair into a folder, in which `site.pem` and `site.key` are served, in some way.
type Way = fn(&Path, &Made, usize);

fn rewrite(folder: &Path, made: &Made, _: usize) {
    made.write_pem(folder, "site");
}

pub(super) fn rename_over(folder: &Path, made: &Made, _: usize) {
    made.write_pem(folder, "new");
    for end in ["pem", "key"] {
        fs::rename(folder.join(format!("new.{end}")), folder.join(format!("site.{end}"))).unwrap();
    }
}

fn delete_and_write(folder: &Path, made: &Made, number: usize) {
    if number > 0 {
        fs::remove_file(folder.join("site.pem")).unwrap();
        fs::remove_file(folder.join("site.key")).unwrap();
    }
    made.write_pem(folder, "site");
}

/// As certbot does: `live` has links to numbered files in `archive`.
fn link_files(folder: &Path, made: &Made, number: usize) {
    let archive = folder.join("archive");
    fs::create_dir_all(&archive).unwrap();
    made.write_pem(&archive, &format!("site{number}"));
    for end in ["pem", "key"] {
        let link = folder.join("link");
        symlink(format!("archive/site{number}.{end}"), &link).unwrap();
        fs::rename(link, folder.join(format!("site.{end}"))).unwrap();
    }
}

/// As Kubernetes does: the files are links through a folder that is itself a link, which is swapped.
fn link_folders(folder: &Path, made: &Made, number: usize) {
    let data = folder.join(format!("..{number}"));
    fs::create_dir(&data).unwrap();
    made.write_pem(&data, "site");
    symlink(format!("..{number}"), folder.join("..new")).unwrap();
    fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    if number == 0 {
        symlink("..data/site.pem", folder.join("site.pem")).unwrap();
        symlink("..data/site.key", folder.join("site.key")).unwrap();
    } else {
        fs::remove_dir_all(folder.join(format!("..{}", number - 1))).unwrap();
    }
}

#[test]
fn files_may_be_replaced_in_any_way() {
    let ways: [(&str, Way); 5] = [
        ("rewrite", rewrite),
        ("rename over", rename_over),
        ("delete and write", delete_and_write),
        ("link files", link_files),
        ("link folders", link_folders),
    ];
    for (name, replace) in ways {
        let folder = folder();
        replace(folder.path(), &make("first.ways.test"), 0);
        let server = serve(folder, "site.pem", "site.key");
        let mut connection = kept(addresses(&server)[0]);
        for number in 1..4 {
            let made = make("next.ways.test");
            let begin = Instant::now();
            replace(server.folder(), &made, number);
            let (renewed, _) = wait_for_swap(&server);
            eprintln!("{name}: taken up after {:?}", begin.elapsed());
            assert_eq!(renewed, [server.handle().addresses()[0].to_string()], "{name}");
            assert!(shows(&server, &made), "{name}");
            use_again(&mut connection);
        }
    }
    let told = logged(Level::Info, "CN=next.ways.test");
    assert_eq!(told.len(), 15);
    assert!(
        told[0].starts_with("https://127.0.0.1:0 (from code) has a new certificate: CN=next.ways.test ("),
        "{}",
        told[0]
    );
    assert!(told[0].ends_with("), valid until 2100-01-01T00:00:00Z"), "{}", told[0]);
}
