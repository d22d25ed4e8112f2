//! Many rows in few statements.

use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::Query};

use super::StoreError;

/// Rows of one statement. Few sizes, so that a connection prepares few texts; the largest stays far below the 32,766
/// parameters that SQLite takes (and PostgreSQL's 65,535).
/// Three, because so many leaves has the most frequent decision.
const SIZES: [usize; 9] = [128, 64, 32, 16, 8, 4, 3, 2, 1];

/// A statement that takes rows.
pub(crate) type Statement<'q> = Query<'q, Any, AnyArguments>;

/// Cuts rows into pieces of the sizes that have a statement, in order.
pub(crate) fn pieces<R>(mut rows: &[R]) -> impl Iterator<Item = &[R]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

/// `($1, $2), ($3, $4)` for two rows of two columns, counted on after `before` parameters. A column may be given with
/// its type, which a list of values outside of an `INSERT` needs: `CAST($1 AS BIGINT)`.
pub(crate) fn placeholders(columns: &[Option<&str>], rows: usize, before: usize) -> String {
    let one = |row: usize| {
        let cells = columns.iter().enumerate().map(|(at, kind)| {
            let number = before + row * columns.len() + at + 1;
            kind.map_or_else(|| format!("${number}"), |kind| format!("CAST(${number} AS {kind})"))
        });
        format!("({})", cells.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(one).collect::<Vec<_>>().join(", ")
}

/// Inserts rows, in order; one that is there already is left as it is.
///
/// `table` is followed by its columns in brackets, as in `INSERT INTO`; `bind` binds one row's values in their order.
pub(crate) async fn insert<R>(
    connection: &mut sqlx::AnyConnection,
    table: &str,
    rows: &[R],
    bind: impl for<'q> Fn(Statement<'q>, &'q R) -> Statement<'q>,
) -> Result<(), StoreError> {
    let columns = vec![None; table.matches(',').count() + 1];
    for piece in pieces(rows) {
        let values = placeholders(&columns, piece.len(), 0);
        let insert = format!("INSERT INTO {table} VALUES {values} ON CONFLICT DO NOTHING");
        let statement = piece.iter().fold(sqlx::query(AssertSqlSafe(insert)), &bind);
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_few_sizes_and_keep_their_order() {
        let rows: Vec<usize> = (0..150).collect();
        let sizes: Vec<usize> = pieces(&rows).map(<[usize]>::len).collect();
        assert_eq!(sizes, [128, 16, 4, 2]);
        assert_eq!(pieces(&rows[..3]).count(), 1);
        assert_eq!(pieces(&rows).flatten().copied().collect::<Vec<_>>(), rows);
        assert_eq!(pieces::<u8>(&[]).count(), 0);
    }

    #[test]
    fn placeholders_count_on() {
        assert_eq!(placeholders(&[None, None], 2, 0), "($1, $2), ($3, $4)");
        assert_eq!(placeholders(&[Some("BIGINT"), None], 1, 3), "(CAST($4 AS BIGINT), $5)");
    }
}
