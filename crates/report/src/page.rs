//! A page that is built section by section, and its style.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::escape::escape;
use crate::table::Table;

/// The first bytes of every JPEG file.
const JPEG: [u8; 2] = [0xff, 0xd8];

const STYLE: &str = include_str!("style.css");

/// A page that is being built.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
    sections: Vec<String>,
}

impl Page {
    /// An empty page.
    pub fn new(title: &str) -> Page {
        Page { title: title.into(), body: String::new(), sections: Vec::new() }
    }

    /// Begins a section, which is listed in the table of contents.
    pub fn section(&mut self, title: &str) {
        self.sections.push(title.into());
        let _ = writeln!(self.body, "<h2 id=\"s{}\">{}</h2>", self.sections.len(), escape(title));
    }

    /// A heading within a section.
    pub fn heading(&mut self, title: &str) {
        let _ = writeln!(self.body, "<h3>{}</h3>", escape(title));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p>{}</p>", escape(text));
    }

    /// Preformatted text that keeps its line breaks, such as a command or a file.
    pub fn lines(&mut self, text: &str) {
        let _ = writeln!(self.body, "<pre>{}</pre>", escape(text));
    }

    /// A table, which scrolls sideways if the page is narrow.
    pub fn table(&mut self, table: &Table) {
        self.body += &table.html();
    }

    /// Charts of [`chart`](crate::chart), side by side if there is room.
    pub fn charts(&mut self, charts: &[String]) {
        if !charts.is_empty() {
            let _ = writeln!(self.body, "<div class=\"charts\">{}</div>", charts.concat());
        }
    }

    /// Pictures as PNG or JPEG files with their captions, side by side if there is room.
    pub fn pictures(&mut self, pictures: &[(Vec<u8>, String)]) {
        self.grid("pictures", pictures);
    }

    /// [Pictures](Self::pictures) of several panels, such as truth beside prediction: at most two in a row.
    pub fn wide_pictures(&mut self, pictures: &[(Vec<u8>, String)]) {
        self.grid("pictures wide", pictures);
    }

    fn grid(&mut self, class: &str, pictures: &[(Vec<u8>, String)]) {
        let _ = write!(self.body, "<div class=\"{class}\">");
        for (file, caption) in pictures {
            let caption = escape(caption);
            let data = BASE64_STANDARD.encode(file);
            let kind = if file.starts_with(&JPEG) { "jpeg" } else { "png" };
            let _ = write!(
                self.body,
                "<figure><img alt=\"{caption}\" src=\"data:image/{kind};base64,{data}\"><figcaption>{caption}</figcaption></figure>"
            );
        }
        self.body += "</div>\n";
    }

    /// The whole page.
    pub fn finish(self) -> String {
        let title = escape(&self.title);
        let entry = |(place, section): (usize, &String)| {
            format!("<a href=\"#s{}\">{}</a>", place + 1, escape(section))
        };
        let contents: Vec<String> = self.sections.iter().enumerate().map(entry).collect();
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<h1>{title}</h1>\n<nav>{}</nav>\n{}</body>\n</html>\n",
            contents.join("\n"),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart;

    #[test]
    fn names_from_outside_cannot_become_markup() {
        let mut page = Page::new("<script>alert(1)</script>");
        page.section("a & b");
        page.text("\"quoted\" <b>\u{1}");
        page.table(&Table::new(&["<i>"]).row(["<u>".into()]));
        page.charts(&[chart::bars("<s>", &[("<em>".into(), 1.0)])]);
        let html = page.finish();
        for tag in ["<script>", "<b>", "<i>", "<u>", "<s>", "<em>", "\u{1}"] {
            assert!(!html.contains(tag), "{tag}");
        }
        assert!(html.contains("a &amp; b"));
    }

    #[test]
    fn a_page_asks_nothing_of_a_network() {
        let mut page = Page::new("A page");
        page.section("Pictures");
        page.pictures(&[(vec![1, 2, 3], "three bytes".into())]);
        page.wide_pictures(&[(vec![0xff, 0xd8, 3], "three others".into())]);
        let html = page.finish();
        assert!(html.contains("data:image/jpeg;base64,/9gD"));
        assert!(html.contains("data:image/png;base64,AQID"));
        assert!(!html.contains("http") && !html.contains("<script") && !html.contains("url("));
    }
}
