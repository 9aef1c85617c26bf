//! Answers from the log, made while they are taken.
//!
//! Rows are read a batch at a time, off the runtime's threads, and the next batch is read when the
//! client has taken the one before. Promises: a query is at work only while it reads; an answer
//! ends at [`ADMIN_ANSWER_BYTES_MAX`], between rows, and then says so. Does not: know what is asked
//! for (see the module above).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use super::body::{Body, Cut};
use super::{Admin, Unanswered};
use crate::bounds::{
    ADMIN_ANSWER_BYTES_MAX, ADMIN_BATCH_BYTES_MAX, ADMIN_PIECE_BYTES, ADMIN_WAIT_MAX,
};
use crate::report::{Filter, Page, Place, Reader};

/// A place of those, if one becomes free soon.
async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Unanswered> {
    let busy = || {
        Unanswered(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many queries at once; try again".to_owned(),
        )
    };
    let waited = tokio::time::timeout(ADMIN_WAIT_MAX, Arc::clone(places).acquire_owned()).await;
    waited.map_err(|_| busy())?.map_err(|_| busy())
}

/// A place among the long answers, if one becomes free soon. While it is waited for, clients that
/// take nothing are cut sooner.
pub(crate) async fn long(admin: &Admin) -> Result<OwnedSemaphorePermit, Unanswered> {
    if let Ok(place) = Arc::clone(&admin.answers).try_acquire_owned() {
        return Ok(place);
    }
    admin.gateway.metrics.bound("admin_answers");
    let _wanted = Wanted::new(&admin.wanted);
    place(&admin.answers).await
}

/// An answer that waits for its place.
struct Wanted(Arc<AtomicUsize>);

impl Wanted {
    fn new(all: &Arc<AtomicUsize>) -> Wanted {
        all.fetch_add(1, Ordering::Relaxed);
        Wanted(Arc::clone(all))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Asks the log, off the runtime's threads.
pub(crate) async fn asked<T, F>(admin: &Admin, ask: F) -> Result<T, Unanswered>
where
    T: Send + 'static,
    F: FnOnce(&Reader) -> Result<T, Unanswered> + Send + 'static,
{
    let query = place(&admin.queries).await?;
    let (store, data_dir) = (admin.settings.store.clone(), admin.settings.options.data_dir.clone());
    let asked = tokio::task::spawn_blocking(move || {
        // Held until the query is over, whether anybody still waits for it or not.
        let _query = query;
        let reader = Reader::open(&store, &data_dir)?;
        ask(&reader)
    });
    let failed = |_| Unanswered(StatusCode::INTERNAL_SERVER_ERROR, "the query failed".to_owned());
    asked.await.map_err(failed)?
}

/// JSON that is handed on piece by piece.
struct Writer {
    to: mpsc::Sender<Result<Bytes, Cut>>,
    piece: Vec<u8>,
    bytes: usize,
    rows: usize,
    /// The captured texts of rows are written.
    texts: bool,
}

/// The captured texts of a row.
const TEXTS: [&str; 4] = ["request", "response", "prompt", "answer"];

/// The client has left.
struct Left;

impl Writer {
    fn begin(to: mpsc::Sender<Result<Bytes, Cut>>, text: &str) -> Writer {
        Writer { to, piece: text.as_bytes().to_vec(), bytes: text.len(), rows: 0, texts: true }
    }

    /// Whether a further row would make it longer than it may be. The first one always fits.
    fn is_full(&self, row: usize) -> bool {
        self.rows > 0 && self.bytes.saturating_add(row) > ADMIN_ANSWER_BYTES_MAX
    }

    /// Adds a row; `false` where it is full, and the row left out.
    async fn row(&mut self, row: &Value) -> Result<bool, Left> {
        let text = row.to_string();
        if self.is_full(text.len()) {
            return Ok(false);
        }
        if self.rows > 0 {
            self.piece.push(b',');
        }
        self.rows += 1;
        self.bytes += text.len() + 1;
        let mut text = text.as_bytes();
        while self.piece.len() + text.len() >= ADMIN_PIECE_BYTES {
            let (now, later) = text.split_at(ADMIN_PIECE_BYTES - self.piece.len());
            self.piece.extend_from_slice(now);
            text = later;
            self.hand_on().await?;
        }
        self.piece.extend_from_slice(text);
        Ok(true)
    }

    async fn hand_on(&mut self) -> Result<(), Left> {
        let piece = std::mem::take(&mut self.piece);
        self.to.send(Ok(Bytes::from(piece))).await.map_err(|_| Left)
    }

    async fn end(mut self, text: &str) -> Result<(), Left> {
        self.piece.extend_from_slice(text.as_bytes());
        self.hand_on().await
    }
}

/// Rows as the log keeps them: at most `limit`, newest first. Without `texts`, the captured ones
/// are null.
pub(crate) async fn logs(
    admin: &Arc<Admin>,
    filter: Filter,
    limit: usize,
    texts: bool,
) -> Result<Body, Unanswered> {
    let answer = long(admin).await?;
    let page = batch(admin, &filter, limit).await?;
    let (to, pieces) = mpsc::channel(1);
    let (tasks, admin) = (admin.tasks.clone(), Arc::clone(admin));
    tasks.spawn(async move {
        let failed = to.clone();
        let writer = Writer { texts, ..Writer::begin(to, "{\"rows\":[") };
        if let Err(Some(Unanswered(..))) = write_logs(&admin, writer, filter, limit, page).await {
            drop(failed.send(Err(Cut)).await);
        }
    });
    Ok(Body::pieces(pieces, answer))
}

async fn batch(admin: &Arc<Admin>, filter: &Filter, limit: usize) -> Result<Page, Unanswered> {
    let filter = filter.clone();
    asked(admin, move |reader| Ok(reader.page(&filter, limit, ADMIN_BATCH_BYTES_MAX)?)).await
}

/// Writes batch after batch. An error is `None` when the client has left.
async fn write_logs(
    admin: &Arc<Admin>,
    mut writer: Writer,
    mut filter: Filter,
    limit: usize,
    mut page: Page,
) -> Result<(), Option<Unanswered>> {
    let left = |_| None;
    let mut last = None;
    loop {
        for mut row in page.rows {
            let place = Place::of(&row);
            if !writer.texts {
                TEXTS.iter().for_each(|name| drop(row.insert((*name).to_owned(), Value::Null)));
            }
            if !writer.row(&Value::Object(row)).await.map_err(left)? {
                let next = last.map(|Place { id, .. }| id).unwrap_or_default();
                let text = format!("],\"cut\":true,\"next\":{}}}", Value::from(next));
                return writer.end(&text).await.map_err(left);
            }
            last = place;
        }
        let rows_left = limit.saturating_sub(writer.rows);
        if !page.is_cut || rows_left == 0 || last.is_none() {
            let searched = page.searched_to_ms.map_or_else(String::new, |ms| {
                format!(",\"searched_to\":{}", Value::from(super::iso(ms)))
            });
            let text = format!("],\"cut\":false{searched}}}");
            return writer.end(&text).await.map_err(left);
        }
        filter.behind.clone_from(&last);
        page = batch(admin, &filter, rows_left).await.map_err(Some)?;
    }
}

/// Rows that are here already, between `begin` and `end`; `cut` is the end where some were left
/// out.
pub(crate) fn rows<R, F>(
    tasks: &TaskTracker,
    answer: OwnedSemaphorePermit,
    begin: String,
    rows: Vec<R>,
    ends: (&'static str, &'static str),
    to_json: F,
) -> Body
where
    R: Send + Sync + 'static,
    F: Fn(&R) -> Value + Send + Sync + 'static,
{
    let (to, pieces) = mpsc::channel(1);
    tasks.spawn(async move {
        let mut writer = Writer::begin(to, &begin);
        for row in &rows {
            let row = to_json(row);
            match writer.row(&row).await {
                Ok(true) => {}
                Ok(false) => return drop(writer.end(ends.1).await),
                Err(Left) => return,
            }
        }
        drop(writer.end(ends.0).await);
    });
    Body::pieces(pieces, answer)
}
