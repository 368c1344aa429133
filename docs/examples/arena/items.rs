//! The items of the data set, and orders of them as JSON.

use serde::ser::{Error as _, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use std::fs;
use std::path::Path;
use std::sync::Arc;

#[derive(Deserialize)]
pub(crate) struct Item {
    id: i64,
    name: String,
    category: String,
    price: i64,
    quantity: i64,
    active: bool,
    tags: Vec<String>,
    rating: Rating,
}

#[derive(Deserialize, Serialize)]
struct Rating {
    score: i64,
    count: i64,
}

/// The data set from its file.
pub(crate) fn read(file: &Path) -> Result<Arc<[Item]>, String> {
    let text = fs::read(file).map_err(|error| {
        format!(
            "cannot read {}: {error}; name the folder that it is in with ARENA_DATA",
            file.display()
        )
    })?;
    serde_json::from_slice::<Vec<Item>>(&text)
        .map(Arc::from)
        .map_err(|error| format!("{} is no list of items: {error}", file.display()))
}

/// The first items, as they are answered.
#[derive(Serialize)]
pub(crate) struct Order<'a> {
    items: Lines<'a>,
    count: usize,
}

impl<'a> Order<'a> {
    /// What a path and a query ask for; no more than there is. `None` where they say no numbers.
    pub(crate) fn read(items: &'a [Item], count: &str, query: &str) -> Option<Self> {
        let count = count.parse::<usize>().ok()?.min(items.len());
        let mut pairs = query.trim_start_matches('?').split('&');
        let factor = match pairs.find_map(|pair| pair.strip_prefix("m=")) {
            Some(factor) => factor.parse().ok()?,
            None => 1,
        };
        Some(Self {
            items: Lines {
                items: &items[..count],
                factor,
            },
            count,
        })
    }
}

struct Lines<'a> {
    items: &'a [Item],
    factor: i64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    name: &'a str,
    category: &'a str,
    price: i64,
    quantity: i64,
    active: bool,
    tags: &'a [String],
    rating: &'a Rating,
    total: i64,
}

impl Serialize for Lines<'_> {
    /// Each item goes out as it is made: there is no list of them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lines = serializer.serialize_seq(Some(self.items.len()))?;
        for item in self.items {
            let total = item.price.checked_mul(item.quantity);
            let total = total.and_then(|total| total.checked_mul(self.factor));
            lines.serialize_element(&Line {
                id: item.id,
                name: &item.name,
                category: &item.category,
                price: item.price,
                quantity: item.quantity,
                active: item.active,
                tags: &item.tags,
                rating: &item.rating,
                total: total.ok_or_else(|| S::Error::custom("a total beyond all numbers"))?,
            })?;
        }
        lines.end()
    }
}
