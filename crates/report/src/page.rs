//! A page that is built section by section, and its style.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::escape::escape;
use crate::table::Table;

/// The first bytes of every JPEG file.
const JPEG: [u8; 2] = [0xff, 0xd8];

const STYLE: &str = include_str!("style.css");

/// A cell of a [table of pictures](Page::picture_table): pictures, lines and charts under each other.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// PNG or JPEG files and what is read out for them.
    pub pictures: Vec<(Vec<u8>, String)>,
    /// Lines of text.
    pub lines: Vec<String>,
    /// Charts of [`chart`](crate::chart).
    pub charts: Vec<String>,
}

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

    /// A table of pictures: a row for each list of cells, the first of which names it.
    pub fn picture_table(&mut self, header: &[&str], rows: &[Vec<Cell>]) {
        self.body += "<div class=\"scroll pictured\"><table>\n<thead><tr>";
        for name in header {
            let _ = write!(self.body, "<th>{}</th>", escape(name));
        }
        self.body += "</tr></thead>\n<tbody>\n";
        for row in rows {
            self.body += "<tr>";
            for cell in row {
                self.body += "<td>";
                for (file, caption) in &cell.pictures {
                    self.body += &image(file, &escape(caption));
                }
                for line in &cell.lines {
                    let _ = write!(self.body, "<div>{}</div>", escape(line));
                }
                self.body += &cell.charts.concat();
                self.body += "</td>";
            }
            self.body += "</tr>\n";
        }
        self.body += "</tbody></table></div>\n";
    }

    fn grid(&mut self, class: &str, pictures: &[(Vec<u8>, String)]) {
        let _ = write!(self.body, "<div class=\"{class}\">");
        for (file, caption) in pictures {
            let caption = escape(caption);
            let image = image(file, &caption);
            let _ = write!(self.body, "<figure>{image}<figcaption>{caption}</figcaption></figure>");
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

/// A PNG or JPEG file inside the page; `caption` is escaped.
fn image(file: &[u8], caption: &str) -> String {
    let data = BASE64_STANDARD.encode(file);
    let kind = if file.starts_with(&JPEG) { "jpeg" } else { "png" };
    format!("<img alt=\"{caption}\" src=\"data:image/{kind};base64,{data}\">")
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
        let cell = Cell {
            pictures: vec![(vec![1], "\"<q>".into())],
            lines: vec!["<p1>".into()],
            charts: Vec::new(),
        };
        page.picture_table(&["<h9>"], &[vec![cell]]);
        page.charts(&[chart::bars("<s>", &[("<em>".into(), 1.0)])]);
        let html = page.finish();
        for tag in ["<script>", "<b>", "<i>", "<u>", "<s>", "<em>", "<q>", "<p1>", "<h9>", "\u{1}"] {
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
        page.picture_table(
            &[""],
            &[vec![Cell { pictures: vec![(vec![9, 9], "two".into())], ..Cell::default() }]],
        );
        let html = page.finish();
        assert!(html.contains("alt=\"two\" src=\"data:image/png;base64,CQk="));
        assert!(html.contains("data:image/jpeg;base64,/9gD"));
        assert!(html.contains("data:image/png;base64,AQID"));
        assert!(!html.contains("http") && !html.contains("<script") && !html.contains("url("));
    }
}
