//! Whose turn it is: tokens computed for each user, and the least of them goes first. A user who
//! comes (back) starts level with the least served of those present, so idle time earns no credit
//! (virtual token counters, arXiv 2401.00588).

use std::collections::BTreeMap;

use crate::limits::IDLE_USERS_MAX;

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    served: u64,
    requests: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Fairness {
    accounts: BTreeMap<u64, Account>,
    idle_count: usize,
    /// Least served of those present; never falls.
    floor: u64,
}

impl Fairness {
    pub(crate) fn request_comes(&mut self, user: u64) {
        self.raise_floor();
        let is_new = !self.accounts.contains_key(&user);
        let account = self.accounts.entry(user).or_default();
        if account.requests == 0 {
            account.served = account.served.max(self.floor);
            if !is_new {
                self.idle_count -= 1;
            }
        }
        account.requests += 1;
    }

    pub(crate) fn request_goes(&mut self, user: u64) {
        let account = self.accounts.get_mut(&user).expect("the request came before");
        account.requests = account.requests.checked_sub(1).expect("it goes once");
        if account.requests > 0 {
            return;
        }
        self.idle_count += 1;
        if self.idle_count > IDLE_USERS_MAX {
            self.forget_one();
        }
    }

    pub(crate) fn charge(&mut self, user: u64, tokens: u64) {
        self.accounts.get_mut(&user).expect("only the present are served").served += tokens;
    }

    /// Tokens computed for a user who is present, on a scale that all share.
    pub(crate) fn served(&self, user: u64) -> u64 {
        self.accounts.get(&user).expect("the user is present").served
    }

    pub(crate) fn present_count(&self) -> usize {
        self.accounts.len() - self.idle_count
    }

    #[cfg(test)]
    pub(crate) fn account_count(&self) -> usize {
        self.accounts.len()
    }

    fn raise_floor(&mut self) {
        let present = self.accounts.values().filter(|account| account.requests > 0);
        // With nobody present the floor stays: those who were here keep what they used.
        let least = present.map(|account| account.served).min();
        self.floor = least.map_or(self.floor, |least| self.floor.max(least));
    }

    fn forget_one(&mut self) {
        let idle = self.accounts.iter().filter(|(_, account)| account.requests == 0);
        let least = idle.min_by_key(|(user, account)| (account.served, **user));
        let user = *least.expect("more than one is idle").0;
        self.accounts.remove(&user);
        self.idle_count -= 1;
    }
}
