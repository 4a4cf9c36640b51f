//! The rules that a simulation meets too seldom to name: who goes first, what is shared, who
//! gives way.

use crate::fairness::Fairness;
use crate::limits::{IDLE_USERS_MAX, PREEMPTIONS_MAX};
use crate::pages::{PageLease, Pool};
use crate::prefix::{Before, chain_hash};
use crate::{
    Admission, Event, FinishReason, Limits, Made, Outcome, PageId, PageTable, Plan, PlanSpan,
    Refusal, Request, RequestId, Scheduler, StepResult, Tick, WindowLimits,
};

const LIMITS: Limits = Limits {
    page_len: 4,
    page_count: 16,
    sequences_max: 4,
    queue_len_max: 8,
    step_tokens_max: 32,
    context_len_max: 64,
    shares_prefixes: true,
    window: None,
};

fn request(id: u64, user: u64, prompt_len: u32, tokens_max: u64) -> Request {
    // Prompts of different requests share nothing.
    let first = 1000 * u32::try_from(id).expect("tests use small ids");
    let prompt = (first..first + prompt_len).collect();
    Request { id: RequestId(id), prompt, tokens_max, user, prelude: Vec::new() }
}

fn admit(scheduler: &mut Scheduler, request: Request) -> Admission {
    scheduler.admit(request, Tick(0))
}

/// Computes a plan; every token sampled is 7.
fn finish(scheduler: &mut Scheduler, plan: &Plan) -> Vec<Event> {
    let result =
        |wants| if wants { StepResult::Token(Made::token(7)) } else { StepResult::Prefilled };
    let results = plan.spans.iter().map(|span| (span.id, result(span.wants_token)));
    let results = results.collect();
    scheduler.commit(&Outcome { results })
}

/// A step: what was planned of each request, and what happened.
fn step(scheduler: &mut Scheduler) -> (Vec<(u64, usize)>, Vec<Event>) {
    let plan = scheduler.plan(Tick(0));
    let planned = plan.spans.iter().map(|span| (span.id.0, span.tokens.len())).collect();
    (planned, finish(scheduler, &plan))
}

#[test]
fn refuses_what_can_never_run() {
    let mut scheduler = Scheduler::new(Limits { context_len_max: 200, ..LIMITS });
    let refused = |scheduler: &mut Scheduler, request| match admit(scheduler, request) {
        Admission::Refused(refusal) => refusal,
        Admission::Queued { position } => panic!("queued behind {position}"),
    };
    assert_eq!(refused(&mut scheduler, request(1, 1, 0, 1)), Refusal::PromptEmpty);
    assert_eq!(refused(&mut scheduler, request(1, 1, 1, 0)), Refusal::TokensMaxZero);
    let too_long = Refusal::PromptTooLong { prompt_len: 200, context_len_max: 200 };
    assert_eq!(refused(&mut scheduler, request(1, 1, 200, 1)), too_long);
    let never = Refusal::NeverFits { pages_needed: 17, page_count: 16 };
    assert_eq!(refused(&mut scheduler, request(1, 1, 65, 1)), never);
    for id in 0..8 {
        assert!(matches!(admit(&mut scheduler, request(id, 1, 1, 1)), Admission::Queued { .. }));
    }
    assert_eq!(refused(&mut scheduler, request(9, 1, 1, 1)), Refusal::QueueFull { len: 8 });
}

#[test]
fn positions_follow_turns() {
    let mut scheduler = Scheduler::new(LIMITS);
    let position = |scheduler: &mut Scheduler, id, user| admit(scheduler, request(id, user, 1, 1));
    assert_eq!(position(&mut scheduler, 1, 1), Admission::Queued { position: 0 });
    assert_eq!(position(&mut scheduler, 2, 1), Admission::Queued { position: 1 });
    assert_eq!(position(&mut scheduler, 3, 1), Admission::Queued { position: 2 });
    // The second user goes after one of the first user's, not after all.
    assert_eq!(position(&mut scheduler, 4, 2), Admission::Queued { position: 1 });
}

#[test]
fn users_start_in_turns() {
    let mut scheduler = Scheduler::new(Limits { sequences_max: 2, ..LIMITS });
    for (id, user) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
        admit(&mut scheduler, request(id, user, 8, 2));
    }
    assert_eq!(step(&mut scheduler).0, [(1, 8), (4, 8)]);
}

#[test]
fn decodes_come_first_and_prompts_share_the_rest() {
    let mut scheduler = Scheduler::new(Limits { step_tokens_max: 9, ..LIMITS });
    admit(&mut scheduler, request(1, 1, 3, 9));
    assert_eq!(step(&mut scheduler).0, [(1, 3)]);
    admit(&mut scheduler, request(2, 2, 20, 9));
    admit(&mut scheduler, request(3, 3, 2, 9));
    assert_eq!(step(&mut scheduler).0, [(1, 1), (2, 6), (3, 2)]);
    assert_eq!(step(&mut scheduler).0, [(1, 1), (3, 1), (2, 7)]);
}

#[test]
fn a_cached_prompt_still_computes_its_last_token() {
    for (prompt_len, cached_len) in [(8, 4), (9, 8), (10, 8), (4, 0)] {
        let mut scheduler = Scheduler::new(LIMITS);
        let first = request(1, 1, prompt_len, 1);
        let second = Request { id: RequestId(2), ..first.clone() };
        admit(&mut scheduler, first);
        step(&mut scheduler);
        admit(&mut scheduler, second);
        let plan = scheduler.plan(Tick(0));
        let started = Event::Started { id: RequestId(2), cached_len };
        assert_eq!(scheduler.take_events(), [started]);
        assert_eq!(plan.spans[0].first_position, cached_len);
        assert!(plan.spans[0].wants_token);
        finish(&mut scheduler, &plan);
    }
}

#[test]
fn a_page_is_shared_only_once_computed() {
    let mut scheduler = Scheduler::new(LIMITS);
    let first = request(1, 1, 9, 4);
    let second = Request { id: RequestId(2), ..first.clone() };
    admit(&mut scheduler, first);
    admit(&mut scheduler, second);
    let plan = scheduler.plan(Tick(0));
    assert!(plan.spans.iter().all(|span| span.first_position == 0), "both compute all");
    assert_eq!(scheduler.stats().pages_used, 6);
    finish(&mut scheduler, &plan);
    // Now that both hold the same, one copy of the full pages is enough.
    assert_eq!(scheduler.stats().pages_used, 4);
}

#[test]
fn a_failed_step_publishes_nothing() {
    let mut scheduler = Scheduler::new(LIMITS);
    admit(&mut scheduler, request(1, 1, 9, 4));
    scheduler.plan(Tick(0));
    let events = scheduler.commit(&Outcome { results: vec![(RequestId(1), StepResult::Failed)] });
    let failed = Event::Finished { id: RequestId(1), reason: FinishReason::Failed };
    assert_eq!(events.last(), Some(&failed));
    assert_eq!(scheduler.stats().pages_free, 16);
}

#[test]
fn cancel_frees_at_the_step_boundary() {
    let mut scheduler = Scheduler::new(LIMITS);
    admit(&mut scheduler, request(1, 1, 8, 4));
    let plan = scheduler.plan(Tick(0));
    scheduler.take_events();
    assert!(scheduler.cancel(RequestId(1)));
    assert_eq!(scheduler.stats().pages_used, 2, "the step in flight writes to them");
    let cancelled = Event::Finished { id: RequestId(1), reason: FinishReason::Cancelled };
    assert_eq!(finish(&mut scheduler, &plan), [cancelled]);
    assert_eq!(scheduler.stats().pages_used, 0);
    assert!(!scheduler.cancel(RequestId(1)));

    admit(&mut scheduler, request(2, 1, 8, 4));
    assert!(scheduler.cancel(RequestId(2)));
    assert!(scheduler.is_idle());
    let cancelled = Event::Finished { id: RequestId(2), reason: FinishReason::Cancelled };
    assert_eq!(scheduler.take_events(), [cancelled]);
}

#[test]
fn the_youngest_of_the_greediest_user_gives_way() {
    let mut scheduler = Scheduler::new(Limits { page_count: 7, ..LIMITS });
    // Prompts of 2, 1 and 2 pages leave 2 pages; the answers soon want 3.
    for (id, user, len) in [(1, 1, 8), (2, 2, 4), (3, 1, 8)] {
        admit(&mut scheduler, request(id, user, len, 30));
    }
    let mut preempted = Vec::new();
    while preempted.is_empty() {
        let events = step(&mut scheduler).1;
        preempted
            .extend(events.into_iter().filter(|event| matches!(event, Event::Preempted { .. })));
    }
    assert_eq!(preempted, [Event::Preempted { id: RequestId(3) }]);
    assert_eq!(scheduler.tokens_of(RequestId(3)).map(<[_]>::len), Some(9), "tokens are kept");
}

#[test]
fn who_gave_way_too_often_is_spared_and_starts_first() {
    let mut scheduler = Scheduler::new(Limits { page_count: 4, sequences_max: 2, ..LIMITS });
    for (id, user) in [(1, 1), (2, 2), (3, 3)] {
        admit(&mut scheduler, request(id, user, 4, 30));
    }
    scheduler.waiting[2].preemptions = PREEMPTIONS_MAX;
    assert_eq!(step(&mut scheduler).0, [(1, 4), (3, 4)]);
    // Both grow until the cache is full; the youngest would give way, were it not spared.
    let first = |(_, events): (_, Vec<Event>)| {
        events.into_iter().find(|event| matches!(event, Event::Preempted { .. }))
    };
    let preempted = (0..20).find_map(|_| first(step(&mut scheduler)));
    assert_eq!(preempted, Some(Event::Preempted { id: RequestId(1) }));
}

#[test]
fn alone_in_a_full_cache_a_request_ends_with_context() {
    let limits = Limits { page_count: 2, context_len_max: 100, ..LIMITS };
    let mut scheduler = Scheduler::new(limits);
    admit(&mut scheduler, request(1, 1, 6, 50));
    let mut made = 0;
    let last = loop {
        let (planned, events) = step(&mut scheduler);
        made += planned.len();
        if let Some(Event::Finished { reason, .. }) = events.last() {
            break *reason;
        }
    };
    // Two more positions are computed after the prompt's, and each step samples a token.
    assert_eq!((last, made), (FinishReason::Context, 3));
}

#[test]
fn limits_end_an_answer() {
    let mut scheduler = Scheduler::new(Limits { context_len_max: 8, ..LIMITS });
    admit(&mut scheduler, request(1, 1, 6, 9));
    admit(&mut scheduler, request(2, 1, 6, 2));
    step(&mut scheduler);
    let events = step(&mut scheduler).1;
    let ended = |id, reason| Event::Finished { id: RequestId(id), reason };
    assert!(events.contains(&ended(1, FinishReason::Context)), "{events:?}");
    assert!(events.contains(&ended(2, FinishReason::Length)), "{events:?}");
}

#[test]
#[should_panic(expected = "one result for each span")]
fn an_outcome_must_match_its_plan() {
    let mut scheduler = Scheduler::new(LIMITS);
    admit(&mut scheduler, request(1, 1, 6, 9));
    scheduler.plan(Tick(0));
    scheduler.commit(&Outcome::default());
}

#[test]
fn a_hash_collision_is_no_hit() {
    let pool = Pool::new(&Limits { page_count: 4, ..LIMITS }, |_, _| 42);
    let root = pool.allocate().expect("free");
    assert!(pool.publish(&root, Before::Start(&[]), &[1, 2]).is_none());
    let child = pool.allocate().expect("free");
    assert!(pool.publish(&child, Before::Page(root.page()), &[1, 2]).is_none());
    let found = |tokens: &[u32]| {
        let leases = pool.find_prefix((&[], tokens), 2);
        leases.iter().map(|lease| lease.page()).collect::<Vec<PageId>>()
    };
    assert_eq!(found(&[3, 4]), []);
    assert_eq!(found(&[1, 2, 3, 4]), [root.page()]);
    assert_eq!(found(&[1, 2, 1, 2, 1, 2]), [root.page(), child.page()]);
}

#[test]
fn the_page_least_recently_used_goes_first_and_children_before_parents() {
    let pool = Pool::new(&Limits { page_count: 3, ..LIMITS }, chain_hash);
    let root = pool.allocate().expect("free");
    pool.publish(&root, Before::Start(&[]), &[1]);
    let child = pool.allocate().expect("free");
    pool.publish(&child, Before::Page(root.page()), &[2]);
    let (root_page, child_page) = (root.page(), child.page());
    drop(child);
    drop(root);
    let free = pool.allocate().expect("free");
    let first = pool.allocate().expect("cached");
    let second = pool.allocate().expect("cached");
    assert!(![root_page, child_page].contains(&free.page()));
    assert_eq!([first.page(), second.page()], [child_page, root_page]);
    assert!(pool.allocate().is_none(), "all are leased");
    pool.assert_consistent();
}

#[test]
fn idle_time_earns_no_credit() {
    let mut fairness = Fairness::default();
    fairness.request_comes(1);
    fairness.charge(1, 100);
    fairness.request_comes(2);
    assert_eq!(fairness.served(2), 100, "a newcomer starts level");
    fairness.request_goes(2);
    fairness.charge(1, 50);
    fairness.request_comes(2);
    assert_eq!(fairness.served(2), 150, "and so does who comes back");
    fairness.charge(2, 70);
    fairness.request_goes(2);
    fairness.request_comes(2);
    assert_eq!(fairness.served(2), 220, "but leaving wipes nothing out");
}

#[test]
fn only_so_many_idle_users_are_remembered() {
    let mut fairness = Fairness::default();
    for user in 0..3000 {
        fairness.request_comes(user);
        fairness.charge(user, user);
        fairness.request_goes(user);
    }
    assert_eq!(fairness.present_count(), 0);
    assert_eq!(fairness.account_count(), IDLE_USERS_MAX);
}

#[test]
fn seats_are_kept_and_given_on() {
    let mut scheduler = Scheduler::new(Limits { sequences_max: 2, ..LIMITS });
    for id in 1..=3 {
        admit(&mut scheduler, request(id, id, 4, if id == 1 { 1 } else { 9 }));
    }
    let seats = |plan: &Plan| -> Vec<(u64, u32)> {
        let mut seats: Vec<_> = plan.spans.iter().map(|span| (span.id.0, span.seat)).collect();
        seats.sort_unstable();
        seats
    };
    let plan = scheduler.plan(Tick(0));
    assert_eq!(seats(&plan), [(1, 0), (2, 1)]);
    finish(&mut scheduler, &plan);
    // The first is done; the third takes its seat, and the second stays where it is.
    let plan = scheduler.plan(Tick(0));
    assert_eq!(seats(&plan), [(2, 1), (3, 0)]);
}

#[test]
fn without_sharing_every_prompt_is_computed_whole() {
    for (shares_prefixes, cached) in [(true, 8), (false, 0)] {
        let mut scheduler = Scheduler::new(Limits { shares_prefixes, ..LIMITS });
        for id in 1..=2 {
            let prompt = (0..10).collect();
            admit(&mut scheduler, Request { prompt, ..request(id, 1, 1, 1) });
            let plan = scheduler.plan(Tick(0));
            let skipped = if id == 1 { 0 } else { cached };
            assert_eq!(plan.spans[0].first_position, skipped, "{shares_prefixes} {id}");
            finish(&mut scheduler, &plan);
        }
    }
}

#[test]
fn pages_are_shared_within_a_prelude_only() {
    let mut scheduler = Scheduler::new(LIMITS);
    let ways: [&[u64]; 8] = [&[], &[1], &[2], &[1, 2], &[1], &[], &[1, 2], &[2, 1]];
    let mut skipped = Vec::new();
    for (id, prelude) in (1..).zip(ways) {
        let prompt = (0..10).collect();
        let prelude = prelude.to_vec();
        admit(&mut scheduler, Request { prompt, prelude, ..request(id, 1, 1, 1) });
        let plan = scheduler.plan(Tick(0));
        skipped.push(plan.spans[0].first_position);
        finish(&mut scheduler, &plan);
        scheduler.assert_consistent();
    }
    assert_eq!(skipped, [0, 0, 0, 0, 8, 8, 8, 0]);
}

#[test]
fn variants_whose_hashes_collide_share_nothing() {
    // One hash for all: only what is compared tells them apart.
    let pool = Pool::new(&LIMITS, |_, _| 7);
    for prelude in [&[][..], &[1], &[2]] {
        let tokens = [1, 2, 3, 4];
        assert!(pool.find_prefix((prelude, &tokens), 4).is_empty(), "{prelude:?}");
        let lease = pool.allocate().expect("a page");
        assert!(pool.publish(&lease, Before::Start(prelude), &tokens).is_none(), "{prelude:?}");
        let found = pool.find_prefix((prelude, &tokens), 4);
        assert_eq!(found.iter().map(PageLease::page).collect::<Vec<_>>(), [lease.page()]);
    }
}

/// The limits of a cache for a million tokens.
const LONG: Limits = Limits {
    page_len: 32,
    page_count: 32_000,
    step_tokens_max: 65_536,
    context_len_max: 1 << 40,
    ..LIMITS
};

#[test]
fn steps_of_a_million_tokens_share_one_table() {
    let mut scheduler = Scheduler::new(LONG);
    let prompt: Vec<u32> = (0..1_000_000).collect();
    admit(&mut scheduler, Request { prompt, ..request(1, 1, 1, 100) });
    let mut before = PageTable::default();
    let (mut shared, mut grown) = (0, 0);
    for step in 0..80 {
        let plan = scheduler.plan(Tick(0));
        let span = &plan.spans[0];
        let position = if step < 16 { step * 65_536 } else { 1_000_000 + step - 16 };
        assert_eq!(span.first_position, position);
        assert_eq!(span.pages.len(), span.end_position().div_ceil(32));
        if span.pages.len() == before.len() {
            assert!(span.pages.is_shared_with(&before), "step {step} copied the table");
            shared += 1;
        } else {
            grown += 1;
        }
        before = span.pages.clone();
        finish(&mut scheduler, &plan);
    }
    // 16 parts of the prompt, and 64 tokens that fill two pages.
    assert_eq!((shared, grown), (62, 18));
}

#[test]
fn a_table_that_is_read_stays_as_it_is_while_its_sequence_grows() {
    let mut scheduler = Scheduler::new(LIMITS);
    admit(&mut scheduler, request(1, 1, 4, 9));
    let first = scheduler.plan(Tick(0));
    finish(&mut scheduler, &first);
    let second = scheduler.plan(Tick(0));
    assert_eq!((first.spans[0].pages.len(), second.spans[0].pages.len()), (1, 2));
    assert_eq!(first.spans[0].pages.get(0), second.spans[0].pages.get(0));
}

#[test]
fn windows_fall_behind_and_their_table_is_shared_too() {
    let limits = Limits { page_count: 400, context_len_max: 2000, ..LIMITS };
    let page_count = u32::try_from(limits.window_pages_needed(8)).expect("a few");
    let window = Some(WindowLimits { reach: 8, page_count });
    let mut scheduler = Scheduler::new(Limits { window, ..limits });
    admit(&mut scheduler, request(1, 1, 900, 50));
    let mut before = PageTable::default();
    let mut shared = 0;
    for _ in 0..60 {
        let plan = scheduler.plan(Tick(0));
        let windows = &plan.spans[0].window_pages;
        assert_eq!(windows.len(), plan.spans[0].pages.len());
        shared += u32::from(windows.is_shared_with(&before));
        before = windows.clone();
        finish(&mut scheduler, &plan);
        scheduler.assert_consistent();
        assert!(scheduler.stats().window_pages_used <= 4, "what lies behind is given back");
    }
    // Of 31 steps of the answer, eight begin a page.
    assert_eq!(shared, 23);
}

#[test]
fn positions_and_sizes_go_beyond_32_bits() {
    const FAR: usize = 1 << 40;
    let limits = Limits { page_len: 1 << 16, page_count: 1 << 31, ..LONG };
    assert_eq!(limits.sequence_len_max(), FAR);
    assert_eq!(limits.pages_for(FAR + 1), (1 << 24) + 1);
    let window = Some(WindowLimits { reach: 1 << 33, page_count: 1 });
    assert_eq!(Limits { window, ..limits }.first_seen(FAR), FAR - (1 << 33));
    assert_eq!(limits.window_pages_needed(1 << 33), 4 * ((1 << 17) + 2) + 1);
    let span = PlanSpan {
        id: RequestId(1),
        first_position: FAR,
        tokens: vec![1, 2],
        is_prompt: true,
        drafted: 0,
        pages: PageTable::default(),
        window_pages: PageTable::default(),
        wants_token: false,
        seat: 0,
    };
    assert_eq!(span.end_position(), FAR + 2);
}
