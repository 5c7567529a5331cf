//! What a program reaches: itself, through subprograms, callbacks, and what maps hold from the start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::image::{Image, Reference};

/// Everything that one program reaches, each with the way there.
#[derive(Default)]
pub(crate) struct Reach<'a> {
    pub(crate) functions: BTreeMap<usize, Way>,
    pub(crate) maps: BTreeMap<usize, Way>,
    pub(crate) data: BTreeMap<&'a str, Way>,
    pub(crate) unknown: BTreeMap<&'a str, Way>,
}

/// The functions and maps in between, in order.
pub(crate) type Way = Vec<String>;

impl<'a> Reach<'a> {
    /// Everything that the function at `start` reaches, by a shortest way each.
    pub(crate) fn of(image: &'a Image, start: usize) -> Self {
        let mut reach = Self::default();
        let mut queue = VecDeque::new();
        if let Some(function) = image.functions.get(start) {
            queue.extend(function.references.values().map(|reference| (reference, Way::new())));
            reach.functions.insert(start, Way::new());
        }
        while let Some((reference, way)) = queue.pop_front() {
            let onward = |name: &str| {
                let mut onward = way.clone();
                onward.push(name.to_owned());
                onward
            };
            match reference {
                Reference::Function(index) if !reach.functions.contains_key(index) => {
                    let Some(function) = image.functions.get(*index) else { continue };
                    let next = onward(&function.name);
                    queue.extend(function.references.values().map(|reference| (reference, next.clone())));
                    reach.functions.insert(*index, way);
                }
                Reference::Map(index) if !reach.maps.contains_key(index) => {
                    let Some(map) = image.maps.get(*index) else { continue };
                    let next = onward(&map.name);
                    queue.extend(map.holds.iter().map(|reference| (reference, next.clone())));
                    reach.maps.insert(*index, way);
                }
                Reference::Data(section) => {
                    reach.data.entry(section).or_insert(way);
                }
                Reference::Unknown(what) => {
                    reach.unknown.entry(what).or_insert(way);
                }
                Reference::Function(_) | Reference::Map(_) | Reference::Kernel => {}
            }
        }
        reach
    }

    /// The names of the maps and data sections.
    pub(crate) fn names(&self, image: &Image) -> BTreeSet<String> {
        let maps = self.maps.keys().filter_map(|&map| image.maps.get(map)).map(|map| map.name.clone());
        maps.chain(self.data.keys().map(|&section| section.to_owned())).collect()
    }
}
