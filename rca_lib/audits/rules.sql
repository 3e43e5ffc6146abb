-- How a cell is read: dates.sql has the moments, numbers.sql the numbers. v: the trimmed text of a cell; day_first:
-- whether days stand before months; epoch: day 0 of serial dates; mark: the decimal mark. Patterns are literals, so that
-- they are compiled once and not once a row. Before this file rca_lib.audits.rules makes words(name) and zone_of(site)
-- from the mapping.

create macro clean(v) as case
    when left(v, 1) <= ' ' or right(v, 1) <= ' ' or left(v, 1) = chr(160) or right(v, 1) = chr(160)
    then nullif(trim(v, ' ' || chr(9) || chr(10) || chr(13) || chr(160)), '') else v end;

create macro flag(v) as case when lower(v) in ('true', 't', 'yes', 'y', '1', '1.0') then true
    when lower(v) in ('false', 'f', 'no', 'n', '0', '0.0') then false end;
create macro known_word(v) as replace(replace(lower(v), ' ', '_'), '-', '_');
create macro tidy_id(v) as case when ends_with(v, '.0') then regexp_replace(v, '^(\d+)\.0$', '\1') else v end;
create macro is_destroyed(v) as contains(upper(v), 'E+') and regexp_matches(v, '^[+-]?\d([.,]\d+)?[eE]\+\d+$');
create macro is_footer(v) as regexp_matches(v, '(?i)^(grand |sub)?-?(totals?|sum|summe|gesamt|count|average|mean|rows?)\b[ :=]*[\d.,]*$');
create macro part_of_day(hour) as case
    when hour >= 6 and hour < 14 then 'early' when hour >= 14 and hour < 22 then 'late' else 'night' end;

create macro known(v, name) as case when list_contains(words(name), known_word(v)) then known_word(v) end;

-- The three words nearest to one that is not known: offered, never taken.
create macro nearest(v, value, name) as case when v is not null and value is null and len(words(name)) > 0 then
    array_to_string(list_transform(list_sort(list_transform(words(name),
        lambda k: {'far': -jaro_winkler_similarity(lower(k), lower(v)), 'word': k}))[1:3], lambda k: k.word), ', ') end;

create macro as_score(v) as try_cast(replace(v, ',', '.') as double);
create macro unit_of(name, v) as case
    when contains(v, '%') then 'percent' when name <> 'model_score' then 'share'
    when as_score(v) > 1 and as_score(v) <= 100 then 'percent' when as_score(v) > 0 and as_score(v) < 1 then 'share' end;
