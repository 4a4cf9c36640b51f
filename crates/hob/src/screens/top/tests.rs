//! The picture at the two sizes that people have, and at worse ones.

use server::{
    DeviceView, EnergyView, HouseStatus, MemoryView, ModelView, MomentView, ProcessorView,
    RequestView,
};

use super::{Picture, frame, watt_hours};

fn request(number: u64, made_tokens: u32, ended_by: &str) -> RequestView {
    RequestView {
        number,
        ended_by: ended_by.to_owned(),
        prompt_tokens: 1234,
        cached_tokens: 1024,
        made_tokens,
        queued_s: 0.004,
        prefill_s: 0.35,
        decode_s: 0.02 * f64::from(made_tokens.saturating_sub(1)),
        busy_s: 0.3,
        energy_wh: 0.000_21 * f64::from(made_tokens),
        energy_basis: "counter".to_owned(),
    }
}

fn status() -> HouseStatus {
    let moment = |second: u32| MomentView {
        made_per_s: f64::from(second % 48),
        read_per_s: if second % 20 == 3 { 512.0 } else { 0.0 },
        busy_share: 0.9,
        watts: Some(30.0 + f64::from(second % 10)),
    };
    let model = ModelView {
        name: "smollm2".to_owned(),
        backend: "cpu: AVX2, 8 threads".to_owned(),
        context_len: 8192,
        sequences_max: 4,
        weights_bytes: 105 << 20,
        kv_bytes: 720 << 20,
        workspace_bytes: 31 << 20,
        running: 4,
        waiting: 3,
        oldest_wait_s: 1.24,
        pages_used: 347,
        pages_cached: 123,
        pages_free: 554,
        ended: 1288,
        failed: 1,
        cancelled: 4,
        refused: 17,
        queued_mean_s: Some(0.012),
        first_token_mean_s: Some(0.354),
        inter_token_mean_s: Some(0.0205),
        recent: (0..32).map(|i| request(1257 + i, 64 + 8 * i as u32, "length")).collect(),
        ..ModelView::default()
    };
    HouseStatus {
        version: "0.1.0".to_owned(),
        uptime_s: 5025.0,
        models: vec![model],
        read_per_s: 102.4,
        made_per_s: 46.21,
        history: (0..120).map(moment).collect(),
        memory: MemoryView {
            total_bytes: Some(16 << 30),
            available_bytes: Some(12_400 << 20),
            process_bytes: Some(912 << 20),
        },
        processor: ProcessorView {
            utilisation: Some(0.71),
            frequency_mhz: Some(3210.0),
            temperature_c: Some(61.4),
            is_throttled: Some(false),
        },
        devices: Vec::new(),
        energy: EnergyView {
            watts: Some(35.24),
            basis: "counter".to_owned(),
            scope: "parts".to_owned(),
            parts: vec!["package-0".to_owned(), "dram".to_owned()],
            idle_watts: Some(12.04),
            load_watts: Some(34.6),
            requests_wh: 3.21,
            idle_wh: 0.4,
            wh_per_1000_requests: Some(2.492),
            ..EnergyView::default()
        },
    }
}

fn plain(status: &HouseStatus, size: (usize, Option<usize>), fault: Option<&str>) -> String {
    let picture = Picture { url: "http://127.0.0.1:11434", status, fault };
    let lines = frame(&picture, size.0, size.1);
    assert!(lines.iter().all(|line| line.width() <= size.0), "within {} columns", size.0);
    assert!(size.1.is_none_or(|height| lines.len() <= height));
    // The bar shows where a line begins.
    lines.iter().map(|line| format!("|{}", line.plain())).collect::<Vec<_>>().join("\n")
}

#[test]
fn narrow() {
    insta::assert_snapshot!(plain(&status(), (80, Some(24)), None), @r"
    |hob top  http://127.0.0.1:11434  hob 0.1.0, up 84 min
    |
    |writes         46 tokens/s  ▆▆▆▆▇▇▇▇▇▇██████▁▁▁▁▁▁▂▂▂▂▂▂▃▃▃▃▃▃▄▄▄▄▄▄  peak    47
    |reads         102 tokens/s  ▁▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  peak   512
    |requests  4 of 4 run, 3 wait, the first for 1.2 s; 1,288 ended, 1 failed, 4
    |          given up, 17 refused
    |          mean: wait 12 ms, first token 354 ms, each more 20 ms
    |KV cache  ███░░░░░░░  34 % in use, 12 % kept, 1,024 pages
    |memory    smollm2 0.8 GiB: weights 0.1 GiB, KV cache 0.7 GiB, a step 31 MiB
    |          hob holds 0.9 GiB; 12.1 GiB of 16.0 GiB are free
    |processor ███████░░░  71 %  61 °C  3.2 GHz  not throttled
    |power        35.2 W  ▇▇▇▇█████▇▇▇▇▇█████▇▇▇▇▇█████▇▇▇▇▇█████▇▇▇▇▇█████▇▇▇▇▇█████
    |          counted by the hardware, of package-0 and dram alone
    |energy    idle 12.0 W, at work 34.6 W (last 10 minutes)
    |          a request 2.5 mWh, 1000 of them 2.49 Wh; all so far 3.21 Wh, and 0.40
    |          Wh idle
    |
    |    #   read  known  wrote  waited   first  in all tokens/s    energy  ended by
    | 1288  1,234  1,024    312    4 ms  354 ms   6.6 s     50.0  65.5 mWh  length
    | 1287  1,234  1,024    304    4 ms  354 ms   6.4 s     50.0  63.8 mWh  length
    | 1286  1,234  1,024    296    4 ms  354 ms   6.3 s     50.0  62.2 mWh  length
    | 1285  1,234  1,024    288    4 ms  354 ms   6.1 s     50.0  60.5 mWh  length
    | 1284  1,234  1,024    280    4 ms  354 ms   5.9 s     50.0  58.8 mWh  length
    | 1283  1,234  1,024    272    4 ms  354 ms   5.8 s     50.0  57.1 mWh  length
    ");
}

#[test]
fn wide_with_graphics_that_are_hot() {
    let card = DeviceView {
        name: "NVIDIA GeForce RTX 4090".to_owned(),
        watts: Some(318.0),
        power_limit_w: Some(320.0),
        utilisation: Some(0.97),
        temperature_c: Some(83.0),
        memory_used_bytes: Some(21 << 30),
        memory_total_bytes: Some(24 << 30),
        throttled_by: Some(vec!["sw_power_cap".to_owned(), "sw_thermal_slowdown".to_owned()]),
    };
    let status = HouseStatus { devices: vec![card], ..status() };
    insta::assert_snapshot!(plain(&status, (120, Some(40)), None), @r"
    |hob top  http://127.0.0.1:11434  hob 0.1.0, up 84 min
    |
    |writes         46 tokens/s  ▂▃▃▃▄▄▄▅▅▅▆▆▆▇▇▇███  peak    47  processor ███████░░░  71 %  61 °C  3.2 GHz  not throttled
    |reads         102 tokens/s  ▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  peak   512  graphics  ██████████  97 %  83 °C  318 of 320 W
    |requests  4 of 4 run, 3 wait, the first for 1.2 s; 1,288               slowed by its power limit and heat
    |          ended, 1 failed, 4 given up, 17 refused                      NVIDIA GeForce RTX 4090, 21.0 GiB of 24.0 GiB in
    |          mean: wait 12 ms, first token 354 ms, each more              use
    |          20 ms                                              power        35.2 W  ▇▇▇█████▇▇▇▇▇█████▇▇▇▇▇█████▇▇▇▇▇█████
    |KV cache  ███░░░░░░░  34 % in use, 12 % kept, 1,024 pages              counted by the hardware, of package-0 and dram
    |memory    smollm2 0.8 GiB: weights 0.1 GiB, KV cache 0.7               alone
    |          GiB, a step 31 MiB                                 energy    idle 12.0 W, at work 34.6 W (last 10 minutes)
    |          hob holds 0.9 GiB; 12.1 GiB of 16.0 GiB are free             a request 2.5 mWh, 1000 of them 2.49 Wh; all so
    |                                                                       far 3.21 Wh, and 0.40 Wh idle
    |
    |    #   read  known  wrote  waited   first  in all tokens/s    energy  ended by
    | 1288  1,234  1,024    312    4 ms  354 ms   6.6 s     50.0  65.5 mWh  length
    | 1287  1,234  1,024    304    4 ms  354 ms   6.4 s     50.0  63.8 mWh  length
    | 1286  1,234  1,024    296    4 ms  354 ms   6.3 s     50.0  62.2 mWh  length
    | 1285  1,234  1,024    288    4 ms  354 ms   6.1 s     50.0  60.5 mWh  length
    | 1284  1,234  1,024    280    4 ms  354 ms   5.9 s     50.0  58.8 mWh  length
    | 1283  1,234  1,024    272    4 ms  354 ms   5.8 s     50.0  57.1 mWh  length
    | 1282  1,234  1,024    264    4 ms  354 ms   5.6 s     50.0  55.4 mWh  length
    | 1281  1,234  1,024    256    4 ms  354 ms   5.5 s     50.0  53.8 mWh  length
    | 1280  1,234  1,024    248    4 ms  354 ms   5.3 s     50.0  52.1 mWh  length
    | 1279  1,234  1,024    240    4 ms  354 ms   5.1 s     50.0  50.4 mWh  length
    | 1278  1,234  1,024    232    4 ms  354 ms   5.0 s     50.0  48.7 mWh  length
    | 1277  1,234  1,024    224    4 ms  354 ms   4.8 s     50.0  47.0 mWh  length
    | 1276  1,234  1,024    216    4 ms  354 ms   4.7 s     50.0  45.4 mWh  length
    | 1275  1,234  1,024    208    4 ms  354 ms   4.5 s     50.0  43.7 mWh  length
    | 1274  1,234  1,024    200    4 ms  354 ms   4.3 s     50.0  42.0 mWh  length
    | 1273  1,234  1,024    192    4 ms  354 ms   4.2 s     50.0  40.3 mWh  length
    | 1272  1,234  1,024    184    4 ms  354 ms   4.0 s     50.0  38.6 mWh  length
    | 1271  1,234  1,024    176    4 ms  354 ms   3.9 s     50.0  37.0 mWh  length
    | 1270  1,234  1,024    168    4 ms  354 ms   3.7 s     50.0  35.3 mWh  length
    | 1269  1,234  1,024    160    4 ms  354 ms   3.5 s     50.0  33.6 mWh  length
    | 1268  1,234  1,024    152    4 ms  354 ms   3.4 s     50.0  31.9 mWh  length
    | 1267  1,234  1,024    144    4 ms  354 ms   3.2 s     50.0  30.2 mWh  length
    | 1266  1,234  1,024    136    4 ms  354 ms   3.1 s     50.0  28.6 mWh  length
    | 1265  1,234  1,024    128    4 ms  354 ms   2.9 s     50.0  26.9 mWh  length
    | 1264  1,234  1,024    120    4 ms  354 ms   2.7 s     50.0  25.2 mWh  length
    ");
}

#[test]
fn a_new_house_that_knows_little() {
    let model = ModelView {
        name: "m".to_owned(),
        sequences_max: 1,
        pages_free: 16,
        ..ModelView::default()
    };
    let energy = EnergyView {
        basis: "modelled".to_owned(),
        watts: Some(11.2),
        model_idle_watts: 11.0,
        model_load_watts: 16.0,
        model_source: "a guess for 2 threads".to_owned(),
        closed: vec![
            "package-0: Linux lets only root read it, as it can give away what others compute; \
             run hob as root"
                .to_owned(),
        ],
        ..EnergyView::default()
    };
    let status = HouseStatus { models: vec![model], energy, ..HouseStatus::default() };
    let fault = Some("no hob serves at http://127.0.0.1:11434: start one with `hob serve`");
    insta::assert_snapshot!(plain(&status, (80, None), fault), @r"
    |hob top  http://127.0.0.1:11434  hob , up 0.0 s
    |no hob serves at http://127.0.0.1:11434: start one with `hob serve`
    |writes        0.0 tokens/s                                            peak   0.0
    |reads         0.0 tokens/s                                            peak   0.0
    |requests  0 of 1 run, none waits; 0 ended
    |KV cache  ░░░░░░░░░░  0 % in use, 0 % kept, 16 pages
    |memory    m 0.0 GiB: weights 0.0 GiB, KV cache 0.0 GiB, a step 0.0 GiB
    |processor use not known  throttling not known
    |power        11.2 W
    |          modelled, not measured: 11 to 16 W by how busy the processor is (a
    |          guess for 2 threads)
    |energy    idle ? W, at work ? W (last 10 minutes)
    |          no request has ended yet; all so far 0.0 µWh, and 0.0 µWh idle
    |          not read: package-0: Linux lets only root read it, as it can give away
    |          what others compute; run hob as root
    ");
}

#[test]
fn a_window_that_is_too_small_says_so() {
    let text = plain(&status(), (40, Some(8)), None);
    assert_eq!(text.lines().count(), 8);
    assert!(text.lines().last().unwrap().contains("more lines"), "{text}");
    for width in 0..140 {
        plain(&status(), (width, Some(width / 4)), None);
    }
}

#[test]
fn energy_for_people() {
    let shown = [0.0, 0.000_012_3, 0.0123, 0.42, 81.0, 1200.0].map(watt_hours);
    assert_eq!(shown, ["0.0 µWh", "12.3 µWh", "12.3 mWh", "0.42 Wh", "81.00 Wh", "1.20 kWh"]);
}
