//! Which rows wait, and in which order they are given out.

use metafetch::store::{Holder, LegacyTables};

use crate::fixture::{Legacy, received};

/// All that a holder gets, page by page; nothing is released.
async fn all(tables: &LegacyTables, holder: &Holder, page: u32) -> Vec<(i64, String)> {
    let mut got = Vec::new();
    loop {
        let claimed = tables.claim(holder, page).await.unwrap();
        if claimed.rows.is_empty() {
            return got;
        }
        assert!(claimed.rows.len() <= page as usize);
        got.extend(claimed.rows.into_iter().map(|row| (row.id, row.source)));
    }
}

/// Rows that the old program has made and others have changed; recorded.
#[tokio::test]
async fn rows_of_the_old_program_are_selected_as_it_did() {
    let legacy = Legacy::with_tables();
    let quoted = |cell: &str| match cell {
        "NULL" => "NULL".to_owned(),
        cell => format!("'{}'", cell.replace('\'', "''")),
    };
    let mut lines = include_str!("old_rows.tsv").lines();
    let columns = lines.next().unwrap().replace('\t', ", ");
    let mut waiting = Vec::new();
    for line in lines {
        let cells: Vec<&str> = line.split('\t').collect();
        let values: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        legacy.run(&format!(
            "INSERT INTO discovered_torrents ({columns}) VALUES ({})",
            values.join(", ")
        ));
        if (cells[4] == "NULL" || cells[4].parse::<i64>().unwrap() < 1) && cells[17] == "0" {
            waiting.push((cells[0].parse::<i64>().unwrap(), cells[15].to_owned()));
        }
    }
    assert_eq!(waiting.len(), 50);
    waiting.sort_by_key(|(id, source)| (source == "DHT_ITEM", *id));
    let tables = legacy.tables().await;
    assert_eq!(tables.backlog_total().await, Ok(50));
    assert_eq!(all(&tables, &Holder::new(), 7).await, waiting);
    tables.close().await;
}

#[tokio::test]
async fn what_was_announced_comes_first_and_what_was_made_up_last() {
    let legacy = Legacy::with_tables();
    let sources = [
        "'DHT_ITEM'",
        "'MANUAL'",
        "NULL",
        "'DHT_ANNOUNCE'",
        "'METADATA_ONLY'",
        "'DHT_ITEM'",
    ];
    legacy.fill(30_000, |id| sources[id as usize % sources.len()]);
    legacy.run("UPDATE discovered_torrents SET timed_out = 1 WHERE id % 7 = 0");
    legacy.run("UPDATE discovered_torrents SET num_files = 3 WHERE id % 11 = 0");
    let class = |id: i64| match sources[usize::try_from(id).unwrap() % sources.len()] {
        "'DHT_ANNOUNCE'" => 0,
        "'DHT_ITEM'" => 2,
        _ => 1,
    };
    let mut expected: Vec<i64> = (1..=30_000)
        .filter(|id| id % 7 != 0 && id % 11 != 0)
        .collect();
    expected.sort_by_key(|id| (class(*id), *id));
    let tables = legacy.tables().await;
    let count = u64::try_from(expected.len()).unwrap();
    assert_eq!(tables.backlog_total().await, Ok(count));
    let holder = Holder::new();
    let got: Vec<i64> = all(&tables, &holder, 777)
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(got, expected);
    // What comes later is found: before what was released, and whatever its class.
    legacy.run(&format!(
        "INSERT INTO discovered_torrents (id, info_hash, source) VALUES (40000, '{:040x}', 'DHT_ANNOUNCE')",
        40_000
    ));
    tables
        .release(&holder, expected[..3].to_vec(), true)
        .await
        .unwrap();
    let got: Vec<i64> = all(&tables, &holder, 1)
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(got, [40_000, expected[0], expected[1], expected[2]]);
    tables.close().await;
}

/// With more sources than are walked through side by side.
#[tokio::test]
async fn any_number_of_sources_is_walked_through() {
    let legacy = Legacy::with_tables();
    legacy.fill(12_000, |id| if id % 2 == 0 { "'DHT_ITEM'" } else { "'x'" });
    legacy.run("UPDATE discovered_torrents SET source = CONCAT('s', id % 1000) WHERE source = 'x'");
    let tables = legacy.tables().await;
    let got = all(&tables, &Holder::new(), 1_000).await;
    let ids: Vec<i64> = got.into_iter().map(|(id, _)| id).collect();
    let expected: Vec<i64> = (1..=12_000)
        .filter(|id| id % 2 == 1)
        .chain((1..=12_000).filter(|id| id % 2 == 0))
        .collect();
    assert_eq!(ids, expected);
    tables.close().await;
}

#[tokio::test]
async fn what_is_done_is_not_given_out_again() {
    let legacy = Legacy::with_tables();
    legacy.fill(6, |_| "'MANUAL'");
    let tables = legacy.tables().await;
    let holder = Holder::new();
    assert_eq!(all(&tables, &holder, 10).await.len(), 6);
    tables.received(received(1, &[("a", 1)])).await.unwrap();
    tables.timed_out(vec![format!("{:040x}", 2)]).await.unwrap();
    // 3 failed in a way that says nothing of it.
    tables.release(&holder, vec![1, 2, 4], true).await.unwrap();
    tables.release(&holder, vec![3], false).await.unwrap();
    let got: Vec<i64> = all(&tables, &holder, 10)
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(got, [4]);
    // Another may have it.
    let other = Holder::new();
    let got: Vec<i64> = all(&tables, &other, 10)
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(got, [3]);
    assert_eq!(tables.claim(&other, 10).await.unwrap().held_by_others, 3);
    assert_eq!(
        legacy.count(
            "(SELECT id FROM discovered_torrents_claim) c",
            "id IN (1, 2)"
        ),
        0
    );
    tables.close().await;
}
