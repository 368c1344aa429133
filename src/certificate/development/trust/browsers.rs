//! Where browsers keep what they trust: databases of NSS.

use crate::certificate::machine::files_in;
use std::fmt;
use std::path::{Path, PathBuf};

/// A browser, and those that are made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Browser {
    Chromium,
    Firefox,
}

impl Browser {
    /// How the certificate is trusted, in the letters of NSS. Chromium wants it trusted as a peer (P), and refuses a leaf
    /// that is trusted as an authority alone; Firefox looks only at that (C).
    pub(super) fn trust(self) -> &'static str {
        match self {
            Self::Chromium => "P,,",
            Self::Firefox => "CP,,",
        }
    }

    /// Whether the browser is content with this trust.
    pub(super) fn accepts(self, trust: &str) -> bool {
        let for_servers = trust.split(',').next().unwrap_or_default();
        for_servers.contains(match self {
            Self::Chromium => 'P',
            Self::Firefox => 'C',
        })
    }
}

impl fmt::Display for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chromium => "Chromium",
            Self::Firefox => "Firefox",
        })
    }
}

/// A folder with a database, or for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Database {
    pub(super) browser: Browser,
    pub(super) folder: PathBuf,
}

/// What is known of the user's browsers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Browsers {
    /// Folders that are there.
    pub(super) databases: Vec<Database>,
    /// Where to make one for Chromium, which is installed and was never started.
    pub(super) to_be_made: Option<Database>,
}

/// Looks in the folders that browsers use or, if there are any, in those that were named instead.
pub(super) fn find(home: &Path, data: Option<&Path>, named: Option<&[PathBuf]>, programs: &[PathBuf]) -> Browsers {
    if let Some(named) = named {
        let databases = named.iter().map(|folder| Database {
            browser: match folder.display().to_string().contains("/.mozilla/firefox/") {
                true => Browser::Firefox,
                false => Browser::Chromium,
            },
            folder: folder.clone(),
        });
        return Browsers {
            databases: databases.filter(|it| it.folder.is_dir()).collect(),
            to_be_made: None,
        };
    }
    let data = data.map_or_else(|| home.join(".local/share"), Path::to_owned);
    let snap = home.join("snap/chromium/current");
    // From some version on Chromium takes the second of each pair, unless the first is there.
    let own = [home.join(".pki/nssdb"), data.join("pki/nssdb")];
    let of_snap = [snap.join(".pki/nssdb"), snap.join(".local/share/pki/nssdb")];
    let profiles = [
        home.join(".mozilla/firefox"),
        home.join("snap/firefox/common/.mozilla/firefox"),
    ];
    let profiles = profiles
        .iter()
        .flat_map(|folder| files_in(folder))
        .filter(|it| is_profile(it));
    let is_new = own.iter().all(|folder| !folder.is_dir()) && is_installed(programs);
    let chromium = |folder: PathBuf| Database {
        browser: Browser::Chromium,
        folder,
    };
    let firefox = profiles.map(|folder| Database {
        browser: Browser::Firefox,
        folder,
    });
    Browsers {
        to_be_made: is_new.then(|| chromium(own[0].clone())),
        databases: own
            .into_iter()
            .chain(of_snap)
            .map(chromium)
            .chain(firefox)
            .filter(|it| it.folder.is_dir())
            .collect(),
    }
}

/// Where a program is, as a shell finds it.
pub(super) fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let places = folders.iter().map(|folder| folder.join(name));
    let mut places = places.filter(|place| {
        let metadata = place.metadata();
        metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    });
    places.next()
}

fn is_profile(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".default") || name.contains(".default-") || name.ends_with(".dev-edition-default")
}

/// A snap's browser has a home of its own, which is there once it was started.
fn is_installed(programs: &[PathBuf]) -> bool {
    let folders: Vec<PathBuf> = programs.iter().filter(|it| !it.starts_with("/snap")).cloned().collect();
    BROWSERS.iter().any(|name| program(name, &folders).is_some())
}

/// Chromium under its names, and browsers made of it that share its database.
const BROWSERS: [&str; 8] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "brave-browser",
    "microsoft-edge",
    "opera",
    "vivaldi",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn where_browsers_keep_them() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path();
        let nothing = find(home, None, None, &[]);
        assert_eq!((nothing.databases.len(), nothing.to_be_made), (0, None));

        let found = [
            (Browser::Chromium, ".pki/nssdb"),
            (Browser::Chromium, ".local/share/pki/nssdb"),
            (Browser::Chromium, "snap/chromium/current/.pki/nssdb"),
            (Browser::Chromium, "snap/chromium/current/.local/share/pki/nssdb"),
            (Browser::Firefox, ".mozilla/firefox/a1.default"),
            (Browser::Firefox, ".mozilla/firefox/b2.default-esr"),
            (Browser::Firefox, ".mozilla/firefox/c3.dev-edition-default"),
            (Browser::Firefox, "snap/firefox/common/.mozilla/firefox/d4.default"),
        ];
        for name in found
            .map(|(_, name)| name)
            .into_iter()
            .chain([".mozilla/firefox/Crash Reports", "data/pki/nssdb"])
        {
            std::fs::create_dir_all(home.join(name)).unwrap();
        }
        let expect = |names: &[(Browser, &str)]| -> Vec<Database> {
            let database = |(browser, name): &(Browser, &str)| Database {
                browser: *browser,
                folder: home.join(name),
            };
            names.iter().map(database).collect()
        };
        assert_eq!(find(home, None, None, &[]).databases, expect(&found));
        let elsewhere = find(home, Some(&home.join("data")), None, &[]);
        assert_eq!(
            elsewhere.databases[1],
            expect(&[(Browser::Chromium, "data/pki/nssdb")])[0]
        );

        let named = [
            home.join(".mozilla/firefox/a1.default"),
            home.join("absent"),
            home.join("data"),
        ];
        let named = find(home, None, Some(&named), &[]);
        assert_eq!(
            named.databases,
            expect(&[
                (Browser::Firefox, ".mozilla/firefox/a1.default"),
                (Browser::Chromium, "data")
            ])
        );
    }

    #[test]
    fn each_browser_has_its_own_idea_of_trust() {
        let table = [
            ("P,,", true, false),
            ("C,,", false, true),
            ("CP,,", true, true),
            (",CP,CP", false, false),
        ];
        for (trust, chromium, firefox) in table {
            let found = (Browser::Chromium.accepts(trust), Browser::Firefox.accepts(trust));
            assert_eq!(found, (chromium, firefox), "{trust}");
        }
        for browser in [Browser::Chromium, Browser::Firefox] {
            assert!(browser.accepts(browser.trust()), "{browser}");
        }
    }

    #[test]
    fn a_browser_that_was_never_started() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path();
        let programs = [home.join("bin")];
        std::fs::create_dir(&programs[0]).unwrap();
        let browser = programs[0].join("google-chrome-stable");
        std::fs::write(&browser, "").unwrap();
        assert_eq!(find(home, None, None, &programs).to_be_made, None, "no program");
        std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
        let made = find(home, None, None, &programs).to_be_made.unwrap();
        assert_eq!(
            (made.browser, made.folder),
            (Browser::Chromium, home.join(".pki/nssdb"))
        );
        assert_eq!(
            find(home, None, Some(&[]), &programs).to_be_made,
            None,
            "others were named"
        );
        // Another place would make Chromium forget what it has in this one.
        std::fs::create_dir_all(home.join(".local/share/pki/nssdb")).unwrap();
        assert_eq!(find(home, None, None, &programs).to_be_made, None, "it was started");
    }
}
