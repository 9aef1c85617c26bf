//! A question as SQL over the roll-ups, and at the edges over the rows.
//!
//! Guarantees: text from outside reaches SQL only as bound values. Does not: run it (see `sums` and
//! `percentiles`).

use rusqlite::types::ToSql;

use crate::ailog::columns::iso;
use crate::ailog::store::measures::{MEASURES, Measure};
use crate::ailog::store::sqlite::layout::{GROUPED, nano};
use crate::ailog::store::sqlite::views::{DAILY, HOURLY};
use crate::report::days::Days;
use crate::report::pieces::{Pieces, Stretch};
use crate::report::query::{Dim, Question, shadow_sql};

/// The rows with their names.
const ROWS: &str = "ai_rows r CROSS JOIN ai_groups g ON g.grp = r.grp \
     CROSS JOIN ai_series s ON s.series = g.series";
/// The hour of a roll-up with this end. The number is looked up, for `printf` takes long.
macro_rules! hour {
    ($end:literal) => {
        concat!(
            "h.day || 'T' || substr('00010203040506070809101112131415161718192021222",
            "3', 2 * h.hour + 1, 2) || '",
            $end,
            "'"
        )
    };
}

/// The beginning of an hour of a roll-up, in the form of `created_at`.
const HOUR_BEGINS: &str = hour!(":00:00.000Z");
/// The same in the form of an answer.
const HOUR_IN_UTC: &str = hour!(":00:00Z");

/// Hours that are gathered by group before the names of the groups are looked up. Over less time a
/// group has few hours, and to gather them takes longer than to look up each.
const GATHERED_MIN_MS: i64 = 48 * 3_600_000;

/// SQL and the values for its marks, in their order.
#[derive(Default)]
pub(crate) struct Sql {
    pub(crate) text: String,
    pub(crate) values: Vec<Box<dyn ToSql>>,
}

impl Sql {
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(crate) fn bind(&mut self, value: impl ToSql + 'static) {
        self.values.push(Box::new(value));
    }
}

/// A table of sums, or of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Daily,
    Hourly,
    Rows,
}

impl Source {
    const fn from(self) -> &'static str {
        match self {
            Source::Daily => DAILY,
            Source::Hourly => HOURLY,
            Source::Rows => ROWS,
        }
    }

    /// The expression of a dimension.
    fn dim(self, dim: &Dim, days: &Days, sql: &mut Sql) {
        let text = match dim {
            Dim::Day => self.day(days),
            Dim::Hour => self.cut("%H:00:00", days),
            Dim::Minute => self.cut("%H:%M:00", days),
            Dim::Outcome if self == Source::Daily => "d.outcome".to_owned(),
            Dim::Org | Dim::Model | Dim::Provider | Dim::Route => format!("s.{}", dim.column()),
            Dim::Caller | Dim::Outcome | Dim::Error | Dim::Limit => format!("g.{}", dim.column()),
            Dim::Shadow => shadow_sql("r.shadow", "instr"),
            Dim::Tag(name) => {
                sql.bind(name.to_string());
                "coalesce((SELECT t.value FROM json_each(r.tags) t WHERE t.key = ?), '')".to_owned()
            }
        };
        sql.push(&text);
    }

    /// The beginning of its time, in the form of `created_at`.
    const fn time(self) -> &'static str {
        match self {
            Source::Daily => "d.day",
            Source::Hourly => HOUR_BEGINS,
            Source::Rows => "r.created_at",
        }
    }

    fn day(self, days: &Days) -> String {
        let time = self.time();
        days.sql(
            |ms| format!("{time} < '{}'", iso(ms)),
            |offset| match offset {
                0 => format!("substr({time}, 1, 10)"),
                offset => format!("date({time}, '{offset:+} seconds')"),
            },
        )
    }

    /// The beginning of a unit of time, with the offset to UTC, unless there is none.
    fn cut(self, form: &str, days: &Days) -> String {
        let time = self.time();
        days.sql(
            |ms| format!("{time} < '{}'", iso(ms)),
            |offset| {
                let zone = Days::zone(offset);
                if offset == 0 && self == Source::Hourly {
                    // Minutes are read from rows.
                    return HOUR_IN_UTC.to_owned();
                }
                format!("strftime('%Y-%m-%dT{form}{zone}', {time}, '{offset:+} seconds')")
            },
        )
    }

    /// The condition of a stretch. Times are texts of one form, so they compare as texts.
    fn within(self, (from, to): Stretch) -> String {
        let (from, to) = (iso(from), iso(to));
        let (first, end) = (&from[..10], &to[..10]);
        match self {
            Source::Daily => format!("d.day >= '{first}' AND d.day < '{end}'"),
            Source::Hourly => format!(
                "h.day >= '{first}' AND h.day <= '{end}' AND (h.day, h.hour) >= ('{first}', {}) \
                 AND (h.day, h.hour) < ('{end}', {})",
                hour_of(&from),
                hour_of(&to)
            ),
            Source::Rows => {
                format!("r.created_at >= '{from}' AND r.created_at < '{to}'")
            }
        }
    }

    /// A measure as a column.
    pub(crate) fn measure(self, name: &str) -> String {
        match self {
            Source::Rows => MEASURES
                .iter()
                .find(|measure| measure.name == name)
                .map_or_else(|| "0".to_owned(), of_row),
            Source::Daily => nano(&format!("d.{name}")),
            Source::Hourly => nano(&format!("h.{name}")),
        }
    }
}

/// A measure of a row, whose names are in another table.
fn of_row(measure: &Measure) -> String {
    let in_group =
        |sql: String, name: &&str| sql.replace(&format!("${name}"), &format!("g.{name}"));
    let sql = GROUPED.iter().fold(measure.sql.to_owned(), in_group);
    nano(&sql.replace('$', "r."))
}

/// The hour of a time.
fn hour_of(iso: &str) -> u32 {
    iso[11..13].parse().unwrap_or(0)
}

/// A measure of a group, gathered over its hours.
pub(crate) fn gathered(name: &str) -> String {
    let name = nano(name);
    format!("sum(h.{name}) AS {name}")
}

/// The columns of a part behind its keys.
pub(crate) struct Selected<'a> {
    pub(crate) of: &'a dyn Fn(Source) -> String,
    /// Those of `ai_hourly` that this needs, each gathered over the hours of a group.
    pub(crate) gathered: &'a str,
}

/// Whether each group is summed up over its hours before its names are looked up. Where there are
/// conditions, they leave less to sum up.
pub(crate) fn is_by_group(source: Source, (from, to): Stretch, question: &Question<'_>) -> bool {
    let of_time = |dim: &Dim| matches!(dim, Dim::Day | Dim::Hour | Dim::Minute);
    source == Source::Hourly
        && to - from >= GATHERED_MIN_MS
        && question.only.is_empty()
        && !question.by.iter().any(of_time)
}

/// One part of a question: the keys, the selected columns, and the conditions.
fn part(
    source: Source,
    stretch: Stretch,
    question: &Question<'_>,
    selected: &Selected<'_>,
    sql: &mut Sql,
) {
    if !sql.text.ends_with('(') {
        sql.push(" UNION ALL ");
    }
    sql.push("SELECT ");
    for (place, dim) in question.by.iter().enumerate() {
        source.dim(dim, question.days, sql);
        sql.push(&format!(" AS k{place}, "));
    }
    let (select, within) = ((selected.of)(source), source.within(stretch));
    if is_by_group(source, stretch, question) {
        let hours = format!(
            "(SELECT h.grp AS grp, {} FROM ai_hourly h WHERE {within} GROUP BY h.grp) h",
            selected.gathered
        );
        sql.push(&format!("{select} FROM {}", HOURLY.replacen("ai_hourly h", &hours, 1)));
        return;
    }
    sql.push(&format!("{select} FROM {} WHERE {within}", source.from()));
    for (dim, values) in question.conditions() {
        sql.push(" AND ");
        source.dim(dim, question.days, sql);
        let marks = vec!["?"; values.len()].join(", ");
        sql.push(&format!(" IN ({marks})"));
        values.into_iter().for_each(|value| sql.bind(value.to_owned()));
    }
}

/// All parts of a question, in parentheses; `None` if there is none.
pub(crate) fn parts(
    question: &Question<'_>,
    pieces: &[(Source, &Vec<Stretch>)],
    selected: &Selected<'_>,
    sql: &mut Sql,
) -> bool {
    sql.push("(");
    for (source, stretches) in pieces {
        for stretch in *stretches {
            part(*source, *stretch, question, selected, sql);
        }
    }
    let some = !sql.text.ends_with('(');
    sql.push(")");
    some
}

/// The sources of a question's pieces.
pub(crate) const fn sources(pieces: &Pieces) -> [(Source, &Vec<Stretch>); 3] {
    [(Source::Daily, &pieces.days), (Source::Hourly, &pieces.hours), (Source::Rows, &pieces.rows)]
}
