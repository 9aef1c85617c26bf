//! The models that providers list, kept for a while.
//!
//! Beside stage 10 of the walk, for `GET /v1/models`. Guarantees: one request for a list at a time
//! for each provider; a list is kept while asking for a newer one fails; a provider that gave none
//! is left alone for a while; a caller waits a bounded time. Does not: count as attempts, know
//! callers, or start tasks (the caller of this room does).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tollgate_wire::models::{self, LIST_BYTES_MAX, MODELS_MAX, Model};

use super::Upstream;
use crate::bounds::{
    MODEL_LIST_BYTES_MAX, MODEL_LIST_KEPT_FOR, MODEL_LIST_RETRY_AFTER, MODEL_LIST_TIMEOUT,
    MODEL_LISTS_MAX, MODEL_PAGES_MAX,
};
use crate::clock::Nanos;
use crate::config::policy::Provider;
use crate::lock::lock;

/// The lists of all providers.
#[derive(Default)]
pub struct Catalog(Mutex<HashMap<Arc<str>, Arc<Listing>>>);

/// The list of one provider.
pub struct Listing {
    /// The provider as it was asked.
    provider: Arc<Provider>,
    state: watch::Sender<State>,
}

#[derive(Clone, Default)]
struct State {
    models: Option<Arc<[Model]>>,
    /// From then on it is asked for again.
    due: Nanos,
    /// It is being asked for.
    is_under_way: bool,
    has_failed: bool,
}

/// The known models of a provider.
pub struct Listed {
    /// The newest list.
    pub models: Option<Arc<[Model]>>,
    /// It could not be asked for, or has not come in time.
    pub is_missing: bool,
}

const _: () = assert!(LIST_BYTES_MAX + MODELS_MAX * size_of::<Model>() <= MODEL_LIST_BYTES_MAX);

impl Provider {
    /// Whether it lists its models at its address. The clouds do so elsewhere.
    pub fn has_list(&self) -> bool {
        let is_cloud = self.is_vertex() || self.is_mantle();
        models::path(self.options.kind, None).is_some() && !is_cloud
    }
}

impl Catalog {
    /// The list of a provider. A new one if the provider has another address or key than before.
    fn of(&self, provider: &Arc<Provider>) -> Arc<Listing> {
        let mut listings = lock(&self.0);
        if let Some(known) = listings.get(&provider.name).filter(|known| known.is_of(provider)) {
            return Arc::clone(known);
        }
        if listings.len() >= MODEL_LISTS_MAX && !listings.contains_key(&provider.name) {
            // Providers of former policies are among them.
            listings.clear();
        }
        let listing =
            Listing { provider: Arc::clone(provider), state: watch::Sender::new(State::default()) };
        let listing = Arc::new(listing);
        listings.insert(Arc::clone(&provider.name), Arc::clone(&listing));
        listing
    }
}

impl Listing {
    fn is_of(&self, provider: &Provider) -> bool {
        let own = &self.provider;
        own.base_url == provider.base_url
            && own.options.kind == provider.options.kind
            && own.options.api_key == provider.options.api_key
            && own.auth.as_ref().map(|auth| auth.id) == provider.auth.as_ref().map(|auth| auth.id)
    }

    /// Whether it is to be asked for now. Then it is under way.
    fn begins(&self, now: Nanos) -> bool {
        self.state.send_if_modified(|state| {
            let begins = !state.is_under_way && now.0 >= state.due.0;
            state.is_under_way |= begins;
            begins
        })
    }

    fn ended(&self, list: Result<Vec<Model>, String>, now: Nanos) {
        if let Err(reason) = &list {
            let provider = &*self.provider.name;
            tracing::warn!(
                event = "model_list_unreadable",
                provider,
                reason,
                "the provider's list of models cannot be read"
            );
        }
        self.state.send_modify(|state| {
            (state.is_under_way, state.has_failed) = (false, list.is_err());
            state.due = now.plus(match &list {
                Ok(_) => MODEL_LIST_KEPT_FOR,
                Err(_) => MODEL_LIST_RETRY_AFTER,
            });
            if let Ok(list) = list {
                state.models = Some(Arc::from(list));
            }
        });
    }
}

impl Upstream {
    /// The models that a provider lists, if they are known or come within `wait`. `ask` is called
    /// if the list is to be asked for: it starts [`ask_for_list`](Upstream::ask_for_list) as a
    /// task, so that it goes on when the caller leaves.
    pub async fn listed(
        &self,
        provider: &Arc<Provider>,
        wait: Duration,
        ask: impl FnOnce(Arc<Listing>),
    ) -> Listed {
        let listing = self.catalog.of(provider);
        let mut state = listing.state.subscribe();
        if listing.begins(self.clock.now()) {
            ask(Arc::clone(&listing));
        }
        let come = state.wait_for(|state| !state.is_under_way);
        let has_come = matches!(tokio::time::timeout(wait, come).await, Ok(Ok(_)));
        let state = listing.state.borrow();
        Listed { models: state.models.clone(), is_missing: !has_come || state.has_failed }
    }

    /// Asks a provider for its list.
    pub async fn ask_for_list(&self, listing: &Listing) {
        let asked = tokio::time::timeout(MODEL_LIST_TIMEOUT, self.list(&listing.provider)).await;
        let list = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        listing.ended(list, self.clock.now());
    }

    async fn list(&self, provider: &Arc<Provider>) -> Result<Vec<Model>, String> {
        let kind = provider.options.kind;
        let mut path = models::path(kind, None);
        let (mut list, mut bytes) = (Vec::new(), 0);
        for _ in 0..MODEL_PAGES_MAX {
            let Some(asked) = &path else { return Ok(list) };
            let page = self.fetch_from(provider, asked).await?;
            let page = models::read(kind, &page).ok_or("the answer is no list of models")?;
            for model in page.models {
                bytes += model.id.len() + model.owned_by.len() + model.display_name.len();
                if list.len() == MODELS_MAX || bytes > LIST_BYTES_MAX {
                    self.metrics.bound("models_listed");
                    return Ok(list);
                }
                list.push(model);
            }
            path = page.next.and_then(|next| models::path(kind, Some(&next)));
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;
    use crate::config::sections::RawProvider;

    fn provider(key: &str) -> Arc<Provider> {
        Arc::new(Provider {
            name: Arc::from("p"),
            base_url: http::Uri::from_static("http://127.0.0.1:1/v1"),
            forward_headers: vec![],
            egress: Arc::default(),
            auth: None,
            options: options::<RawProvider>(&format!("{{api_key: '{key}'}}")),
        })
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_list_is_asked_for_once_and_kept_while_that_fails() {
        let catalog = Catalog::default();
        let listing = catalog.of(&provider("a"));
        assert!(listing.begins(Nanos(0)) && !listing.begins(Nanos(0)), "one at a time");
        let models = |listing: &Listing| listing.state.borrow().models.as_ref().map(|m| m.len());
        listing.ended(Ok(vec![Model::named("m", "p")]), Nanos(0));
        assert!(!listing.begins(Nanos(299 * SECOND)), "it is fresh");
        assert!(listing.begins(Nanos(300 * SECOND)));
        listing.ended(Err("no".to_owned()), Nanos(300 * SECOND));
        assert_eq!((models(&listing), listing.state.borrow().has_failed), (Some(1), true));
        assert!(!listing.begins(Nanos(329 * SECOND)) && listing.begins(Nanos(330 * SECOND)));

        let again = catalog.of(&provider("a"));
        assert!(Arc::ptr_eq(&listing, &again), "another policy with the same provider");
        let other = catalog.of(&provider("b"));
        assert_eq!(models(&other), None, "another key may see other models");
    }
}
