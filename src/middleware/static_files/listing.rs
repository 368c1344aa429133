//! What is in a folder, as a page.

use super::lookup::{Found, inspect, is_hidden};
use crate::middleware::{escape_html, percent_encode};
use std::fs;
use std::io;
use std::path::Path;

/// A page with links to everything in `folder` that would be served, sorted by name; `path` is what the client calls
/// the folder, with a `/` at its end.
pub(super) fn page(root: &Path, folder: &Path, path: &str) -> io::Result<String> {
    let names = names(root, folder)?;
    let mut page = String::from("<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<title>");
    escape_html(path, &mut page);
    page.push_str("</title>\n</head>\n<body>\n<h1>");
    escape_html(path, &mut page);
    page.push_str("</h1>\n<ul>\n");
    if folder != root {
        page.push_str("<li><a href=\"../\">../</a></li>\n");
    }
    for name in &names {
        let (segment, slash) = name
            .strip_suffix('/')
            .map_or((name.as_str(), ""), |segment| (segment, "/"));
        page.push_str("<li><a href=\"");
        percent_encode(segment, &mut page);
        page.push_str(slash);
        page.push_str("\">");
        escape_html(name, &mut page);
        page.push_str("</a></li>\n");
    }
    page.push_str("</ul>\n</body>\n</html>\n");
    Ok(page)
}

/// Folders with a `/` behind their names. Names that are no Unicode are left out, as no path leads to them.
fn names(root: &Path, folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(mut name) = entry.file_name().into_string() else {
            continue;
        };
        if is_hidden(&name) {
            continue;
        }
        let kind = entry.file_type()?;
        let is_folder = if kind.is_symlink() {
            match inspect(root, &entry.path()) {
                Ok(found) => matches!(found, Found::Folder(_)),
                Err(_) => continue,
            }
        } else if kind.is_dir() || kind.is_file() {
            kind.is_dir()
        } else {
            continue;
        };
        if is_folder {
            name.push('/');
        }
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}
