//! XML as a tree whose elements know their lines, so that every error can give its position.
//!
//! Annotations are small: the whole file is read. Attributes, comments and processing instructions have no meaning in
//! these formats and are skipped.

use std::path::Path;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::super::text;
use crate::DataError;

const REMEDY: &str = "mend the XML file, or export it again";
/// The maximum depth of nested elements.
const DEPTH: usize = 32;

/// An element with its content.
pub(crate) struct Element {
    pub name: String,
    /// The line where it begins, counted from 1.
    pub line: usize,
    /// Its own text, without that of its children.
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a file and returns the root element.
    ///
    /// # Errors
    /// [`DataError::Read`] when the file cannot be read as text, [`DataError::Malformed`] with the line where it is not
    /// XML.
    pub fn read(path: &Path) -> Result<Element, DataError> {
        parse(path, &text::read(path)?)
    }

    /// The first child with this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The trimmed text of the first child with this name; `None` also if it is empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }
}

/// Line numbers of positions in a text, requested in ascending order.
struct Lines<'a> {
    text: &'a str,
    place: usize,
    line: usize,
}

impl Lines<'_> {
    fn at(&mut self, place: u64) -> usize {
        let place = usize::try_from(place).unwrap_or(usize::MAX).min(self.text.len());
        if place > self.place {
            let between = &self.text.as_bytes()[self.place..place];
            self.line += between.iter().filter(|&&byte| byte == b'\n').count();
            self.place = place;
        }
        self.line
    }
}

fn parse(path: &Path, text: &str) -> Result<Element, DataError> {
    let wrong = |line: usize, expected: &str, found: &str| text::wrong(path, line, expected, found, REMEDY);
    let mut reader = Reader::from_str(text);
    let mut lines = Lines { text, place: 0, line: 1 };
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    loop {
        let line = lines.at(reader.buffer_position());
        let event = reader.read_event();
        let event = event.map_err(|error| {
            wrong(lines.at(reader.error_position()), "well-formed XML", &error.to_string())
        })?;
        let mut written = |text: &str| match open.last_mut() {
            Some(element) => {
                element.text.push_str(text);
                Ok(())
            }
            None if text.trim().is_empty() => Ok(()),
            None => Err(wrong(line, "an element", text.trim())),
        };
        let closed = match event {
            Event::Text(text) => {
                written(&text.xml10_content())?;
                None
            }
            Event::CData(text) => {
                written(&text.xml10_content())?;
                None
            }
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                let meant = match reference.resolve_char_ref() {
                    Ok(Some(character)) => Some(character.to_string()),
                    Ok(None) => resolve_predefined_entity(&name).map(String::from),
                    Err(_) => None,
                };
                let expected = "a character, or one of &amp; &lt; &gt; &quot; &apos;";
                written(&meant.ok_or_else(|| wrong(line, expected, &format!("&{name};")))?)?;
                None
            }
            Event::Start(tag) => {
                if open.len() >= DEPTH {
                    let expected = format!("at most {DEPTH} elements in each other");
                    return Err(wrong(line, &expected, &format!("<{}>", name_of(tag.name().as_ref()))));
                }
                open.push(element(tag.name().as_ref(), line));
                None
            }
            Event::Empty(tag) => Some(element(tag.name().as_ref(), line)),
            // The XML reader has checked that this ends the innermost open element.
            Event::End(_) => open.pop(),
            Event::Eof => break,
            _ => None,
        };
        let Some(closed) = closed else { continue };
        match open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None if root.is_none() => root = Some(closed),
            None => return Err(wrong(closed.line, "the end of the file", &format!("<{}>", closed.name))),
        }
    }
    if let Some(element) = open.pop() {
        let expected = format!("an end of <{}>, which begins here", element.name);
        return Err(wrong(element.line, &expected, "the end of the file"));
    }
    root.ok_or_else(|| wrong(1, "an XML element", "none in the file"))
}

fn element(name: &str, line: usize) -> Element {
    Element { name: name_of(name), line, text: String::new(), children: Vec::new() }
}

/// A name without its name space.
fn name_of(name: &str) -> String {
    name.rsplit(':').next().unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Element, DataError> {
        parse(Path::new("a.xml"), text)
    }

    #[test]
    fn elements_know_their_lines_and_texts_are_put_together() {
        let text = "\u{a}<?xml version=\"1.0\"?>\n<!-- a > b -->\n<a x=\"1\">\n <b>one &amp; <![CDATA[<two>]]>&#33;</b>\n\n <c/><b>2</b>\n</a>\n";
        let root = read(text).unwrap();
        assert_eq!((root.name.as_str(), root.line, root.children.len()), ("a", 4, 3));
        assert_eq!(root.value("b"), Some("one & <two>!"));
        assert_eq!((root.child("c").unwrap().line, root.value("c")), (7, None));
        assert_eq!(root.children[2].text, "2");
    }

    #[test]
    fn what_is_no_xml_is_refused_with_its_line() {
        let deep = "<a>".repeat(100_000);
        for (text, words) in [
            ("", "line 1: expected an XML element"),
            ("\n plain", "line 1: expected an element, found \"plain\""),
            ("<a>\n<b>\n</a>", "line 3"),
            ("<a>\n<b>1</b>\n", "line 1: expected an end of <a>"),
            ("<a>\n<b", "line 2"),
            ("<a>\n&nothing;</a>", "line 2: expected a character"),
            ("<a>\n&#xD800;</a>", "line 2"),
            ("<a/>\n<b/>", "line 2: expected the end of the file"),
            ("<a/>\n</a>", "line 2"),
            (&deep, "line 1: expected at most 32"),
        ] {
            let message = read(text).err().expect(words).to_string();
            assert!(message.contains("a.xml") && message.contains(words), "{message} lacks {words}");
        }
    }
}
