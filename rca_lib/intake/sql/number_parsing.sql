-- Macros that parse numbers and durations. The one of `.` and `,` that is not decimal_mark groups thousands, as blanks and
-- apostrophes do.
create macro normalize_number(v) as case when regexp_matches(v, '^[0-9.,+-]*$') then v
    when regexp_matches(v, '^[+\x{2212}-]?\d{1,3}([ \x{a0}\x{2007}\x{2009}\x{202f}''\x{2019}]\d{3})+([.,]\d+)?\s*%?$')
        then replace(regexp_replace(v, '[ \x{a0}\x{2007}\x{2009}\x{202f}''\x{2019}]', '', 'g'), chr(8722), '-')
    else replace(regexp_replace(v, '[\s\x{a0}\x{202f}]+', ' ', 'g'), chr(8722), '-') end;
create macro remove_thousands_separators(v, decimal_mark) as replace(replace(rtrim(v, ' %'), case when decimal_mark = ',' then '.' else ',' end, ''), decimal_mark, '.');
-- Groups have three digits, or two before the last three as in India; 1,5 is never a group.
create macro is_number(v, decimal_mark) as case when decimal_mark = ','
    then regexp_matches(v, '^[+-]?(\d+|\d{1,3}(\.\d{2,3})*\.\d{3})?(,\d*)?([eE][+-]?\d+)?\s*%?$')
    else regexp_matches(v, '^[+-]?(\d+|\d{1,3}(,\d{2,3})*,\d{3})?(\.\d*)?([eE][+-]?\d+)?\s*%?$') end
    and regexp_matches(v, '^[+-]?[.,]?\d');
create macro as_double(v) as case when isfinite(try_cast(v as double)) then try_cast(v as double) end;
create macro parse_number(v, decimal_mark, is_percent) as case when is_number(v, decimal_mark) then
    as_double(remove_thousands_separators(v, decimal_mark)) / case when is_percent or contains(v, '%') then 100 else 1 end end;
-- At most 15 digits, which a floating-point number holds exactly.
create macro parse_integer(v, decimal_mark) as case when parse_number(v, decimal_mark, false) = floor(parse_number(v, decimal_mark, false)) and abs(parse_number(v, decimal_mark, false)) < 1e15
    then try_cast(parse_number(v, decimal_mark, false) as bigint) end;

-- Notations of a duration: 03:25 (minutes and seconds), 1:00:05.5, 30:00:00, "1 day, 6:00:00", "1 days 06:00:00", a time with a
-- date that a spreadsheet added, PT1M30S, "1h 30m 5s".
create macro clock_seconds(v) as try_cast(split_part(v, ':', 1) as double) * 3600
    + try_cast(split_part(v, ':', 2) as double) * 60 + try_cast(replace(split_part(v, ':', 3), ',', '.') as double);
create macro unit_seconds(v, unit, seconds) as coalesce(try_cast(replace(nullif(regexp_extract(v, unit, 1), ''), ',', '.') as double), 0)
    * seconds;
create macro parse_duration(v, decimal_mark) as case
    when not regexp_matches(v, '[:a-zA-Z]') then parse_number(v, decimal_mark, false)
    when regexp_matches(v, '^-?\d+:\d{2}([.,]\d+)?$') then case when v[1] = '-' then -1 else 1 end
        * (try_cast(ltrim(split_part(v, ':', 1), '-') as double) * 60 + try_cast(replace(split_part(v, ':', 2), ',', '.') as double))
    when regexp_matches(v, '^-?\d+:\d{2}:\d{2}([.,]\d+)?$') then case when v[1] = '-' then -1 else 1 end * clock_seconds(ltrim(v, '-'))
    when regexp_matches(v, '^[+-]?\d+ days?,? [+-]?\d+:\d{2}:\d{2}([.,]\d+)?$') then
        try_cast(split_part(v, ' ', 1) as double) * 86400 + case when contains(v, ' -') then -1 else 1 end
        * clock_seconds(regexp_extract(v, '\d+:\d{2}:\d{2}([.,]\d+)?$'))
    when regexp_matches(v, '^\d+\.\d{2}:\d{2}:\d{2}(\.\d+)?$') then
        try_cast(split_part(v, '.', 1) as double) * 86400 + clock_seconds(regexp_extract(v, '^\d+\.(.*)$', 1))
    when regexp_matches(v, '^(1899-12-3[01]|1900-0[12]-\d\d) \d\d:\d\d(:\d\d(\.\d+)?)?$') then
        date_diff('millisecond', timestamp '1899-12-30', try_cast(v as timestamp)) / 1000.0
    when regexp_matches(v, '(?i)^(P(\d+D)?T?)?(\d+ ?h(ours?|rs?)? ?)?(\d+ ?m(in(utes?)?|ins)?\.? ?)?(\d+([.,]\d+)? ?s(ec(onds?)?|ecs)?\.?)?$')
        and regexp_matches(v, '\d') then unit_seconds(v, '(?i)(\d+)D', 86400) + unit_seconds(v, '(?i)(\d+) ?h', 3600)
        + unit_seconds(v, '(?i)(\d+) ?m', 60) + unit_seconds(v, '(?i)(\d+(?:[.,]\d+)?) ?s', 1)
    else parse_number(v, decimal_mark, false) end;

-- Evidence for the decimal mark: a part that cannot be a group of thousands. A possible group is ambiguous.
create macro implies_decimal_point(v) as contains(v, '.') and regexp_matches(
        v, '^[+-]?(\d*\.(\d{1,2}|\d{4,})|0*\.\d+|\d{4,}\.\d+|\d{1,3}(,\d{3})+\.\d+)\s*%?$')
    or contains(v, ',') and regexp_matches(v, '^[+-]?\d{1,3}(,\d{3}){2,}\s*%?$');
create macro implies_decimal_comma(v) as contains(v, ',') and regexp_matches(
        v, '^[+-]?(\d*,(\d{1,2}|\d{4,})|0*,\d+|\d{4,},\d+|\d{1,3}(\.\d{3})+,\d+)\s*%?$')
    or contains(v, '.') and regexp_matches(v, '^[+-]?\d{1,3}(\.\d{3}){2,}\s*%?$');
create macro is_ambiguous_number(v) as regexp_matches(v, '^[+-]?[1-9]\d{0,2}[.,]\d{3}\s*%?$');
create macro infer_decimal_mark(v) as case
    when implies_decimal_point(v) then '.' when implies_decimal_comma(v) then ',' when is_ambiguous_number(v) then 'either' end;
