-- Macros that parse timestamps. Successive replacements bring the text of a cell to one of a few normalized forms:
-- `2026-01-05`, `2026-01-05 09:00[:00[.5]][ AM][+01:00]`, the same with `5/1/2026`, or a serial date of a spreadsheet.
-- rca_lib.intake.timestamp_parsing first creates replace_mapped_months(v) from the mapping.
create macro is_normalized_timestamp(v) as regexp_matches(v, '^(\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?'
    || '|\d{1,2}/\d{1,2}/\d{4}( \d{1,2}:\d{2}(:\d{2})?)?|\d{5}(\.\d+)?)$');
create macro normalize_whitespace(v) as trim(regexp_replace(regexp_replace(v, '[\x{200b}\x{200e}\x{200f}\x{feff}]', '', 'g'),
    '[\s\x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]+', ' ', 'g'));
create macro normalize_am_pm(v) as regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(v,
    '(上午|午前|오전) ?([\d:]+)', '\2 AM'), '(下午|午後|오후) ?([\d:]+)', '\2 PM'),
    '(?i)(\d) ?a\.? ?m\b\.?', '\1 AM'), '(?i)(\d) ?p\.? ?m\b\.?', '\1 PM'), '([ T]\d{1,2}) (AM|PM)', '\1:00 \2');

-- 2026年1月5日 9時30分, and the same in Chinese and Korean.
create macro normalize_cjk_date(v) as regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(v,
    '(\d) ?[年年년] ?', '\1-'), '(\d) ?[月월] ?', '\1-'), '(\d) ?[日일] ?(\([^()]{1,3}\))? ?', '\1 '),
    '(\d{1,2}) ?[時时시点] ?(\d{1,2}) ?[分분] ?(\d{1,2}) ?[秒초]', '\1:\2:\3'), '(\d{1,2}) ?[時时시点] ?(\d{1,2}) ?[分분]', '\1:\2');

-- 20260105T090000, 20260105090000, 202601050900, 20260105; years at the end; a date and a time from two columns.
create macro expand_compact_date(v) as regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(v,
    '^((?:19|20)\d\d)(0[1-9]|1[0-2])([0-3]\d)[T ]?([0-2]\d):?([0-5]\d):?([0-5]\d)', '\1-\2-\3 \4:\5:\6'),
    '^((?:19|20)\d\d)(0[1-9]|1[0-2])([0-3]\d)[T ]?([0-2]\d):?([0-5]\d)($|Z|[+-])', '\1-\2-\3 \4:\5\6'),
    '^((?:19|20)\d\d)(0[1-9]|1[0-2])([0-3]\d)($| \d)', '\1-\2-\3\4'),
    '(:\d\d:\d\d):?(\d{3})$', '\1.\2'),
    '^(\pL+ \pL+ \d{1,2}) (\d{1,2}:\d\d:\d\d) (?:([A-Z]{1,5}|[+-]\d\d:?\d\d) )?(\d{4})$', '\1 \4 \2 \3'),
    '^(\S+?)(?: 00:00:00)? (?:1899-12-3[01] )?(\d{1,2}:\d\d(?::\d\d)?)$', '\1 \2');

-- 09.00, 9h30, 09:00 Uhr, 2026-01-05-09.00.00, 05/Jan/2026:09:00:00.
create macro normalize_time(v) as regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
    regexp_replace(v, '^(\d{4}-\d{1,2}-\d{1,2})[-Tt_:]+(\d{1,2}[:.])', '\1 \2'), '(\d{4}):(\d{1,2}:\d\d)', '\1 \2'),
    '(?i)(\d) ?(uhr|hrs|h)\.?$', '\1'), '( \d{1,2}) ?h ?(\d\d)', '\1:\2'),
    '( \d{1,2})\.(\d\d)\.(\d\d)($|[., +-])', '\1:\2:\3\4'), '( \d{1,2})\.(\d\d)($| [AP]|[ +-]+\d)', '\1:\2\3'),
    '(:\d\d:\d\d):(\d{1,9})', '\1.\2');

-- What follows the time: GMT+0100 (Central European Standard Time), +0000 UTC, Z, PST, [Europe/Berlin].
create macro normalize_utc_offset(v) as regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(v,
    '(:\d\d(?:\.\d+)?(?: [AP]M)?) ?(?:GMT|UTC)? ?([+-])(\d)(?:$|:?(00|15|30|45)$)', '\1\20\3:\4'),
    '(:\d\d(?:\.\d+)?(?: [AP]M)?) ?(?:GMT|UTC)? ?([+-]\d\d):?(\d\d)?$', '\1\2:\3'),
    '([+-]\d\d:)$', '\100'), '(:\d\d(?:\.\d+)?(?: [AP]M)?) ?(?:Z|z|UTC|GMT|WET)$', '\1+00:00'), '^(.*[+-]\d\d:\d\d)$', '\1');
create macro remove_zone_names(v) as regexp_replace(regexp_replace(regexp_replace(v,
    '([+-]\d{1,2}(?::?\d\d)?) ?\([^()]*\)$', '\1'), '(Z|[+-]\d\d:?\d\d) ?\[[^\]]*\]$', '\1'), '([+-]\d{4}) [A-Z]{3,5}$', '\1');
create macro has_zone_name(v) as regexp_matches(v, '[\d.M] ?(HST|PST|PDT|MST|MDT|CDT|EST|EDT|WEST|CET|CEST|EET|EEST|MSK|SGT|HKT|PHT|JST|KST)( \d{4})?$');
create macro replace_zone_names(v) as regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
    regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(v,
    '([\d.M]) ?HST$', '\1-10:00'), '([\d.M]) ?PST$', '\1-08:00'), '([\d.M]) ?(?:PDT|MST)$', '\1-07:00'),
    '([\d.M]) ?MDT$', '\1-06:00'), '([\d.M]) ?(?:CDT|EST)$', '\1-05:00'), '([\d.M]) ?EDT$', '\1-04:00'),
    '([\d.M]) ?(?:WEST|CET)$', '\1+01:00'), '([\d.M]) ?(?:CEST|EET)$', '\1+02:00'), '([\d.M]) ?(?:EEST|MSK)$', '\1+03:00'),
    '([\d.M]) ?(?:SGT|HKT|PHT)$', '\1+08:00'), '([\d.M]) ?(?:JST|KST)$', '\1+09:00');

-- Words: commas, ordinals, small words, the day of the week, and months as m1 to m12 (English, German, French, Spanish,
-- Italian, Portuguese, Dutch, Danish, Norwegian, Swedish: one spelling never means two months among them).
create macro remove_filler_words(v) as trim(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(v,
    '(:\d\d),(\d{1,9})', '\1.\2'), ',', ' ', 'g'),
    '(?i)(\d)(st|nd|rd|th)\b', '\1'), '(?i) (of|de|del|at|um|kl\.?|à|a las|alle|om) ', ' ', 'g'), ' +', ' ', 'g'));
create macro remove_weekday(v) as regexp_replace(v, '(?i)^(?:mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so|lun|mar|mer|jeu|ven|sam|dim'
    || '|mié|mie|jue|vie|sáb|sab|dom|seg|ter|qua|qui|sex|gio|ma|wo|vr|za|zo|man|tir|ons|tor|fre|lør|søn|mån|tis|lör|sön)\pL*\.? +'
    || '(\d{1,2}[. /-]*\pL|\d{1,4}[-/.]|\pL+\.?[ -]*\d)', '\1');
create macro replace_month_names(v) as regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
    regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(v,
    '(?i)(^|[^\pL])(?:jan|january|januar|januari|jän|jänner|janv|janvier|ene|enero|gen|gennaio|janeiro)\.?($|[^\pL])', '\1m1\2'),
    '(?i)(^|[^\pL])(?:feb|february|februar|februari|fév|févr|fevr|février|febrero|febbraio|fev|fevereiro|febr)\.?($|[^\pL])', '\1m2\2'),
    '(?i)(^|[^\pL])(?:mar|march|mär|mrz|märz|mars|marzo|março|mrt|maart|marts)\.?($|[^\pL])', '\1m3\2'),
    '(?i)(^|[^\pL])(?:apr|april|avr|avril|abr|abril|aprile)\.?($|[^\pL])', '\1m4\2'),
    '(?i)(^|[^\pL])(?:may|mai|mayo|mag|maggio|maio|mei|maj)\.?($|[^\pL])', '\1m5\2'),
    '(?i)(^|[^\pL])(?:jun|june|juni|juin|junio|giu|giugno|junho)\.?($|[^\pL])', '\1m6\2'),
    '(?i)(^|[^\pL])(?:jul|july|juli|juil|juillet|julio|lug|luglio|julho)\.?($|[^\pL])', '\1m7\2'),
    '(?i)(^|[^\pL])(?:aug|august|août|aout|ago|agosto|augustus|augusti)\.?($|[^\pL])', '\1m8\2'),
    '(?i)(^|[^\pL])(?:sep|sept|september|septembre|septiembre|set|sett|settembre|setembro)\.?($|[^\pL])', '\1m9\2'),
    '(?i)(^|[^\pL])(?:oct|october|okt|oktober|octobre|octubre|ott|ottobre|out|outubro)\.?($|[^\pL])', '\1m10\2'),
    '(?i)(^|[^\pL])(?:nov|november|novembre|noviembre|novembro)\.?($|[^\pL])', '\1m11\2'),
    '(?i)(^|[^\pL])(?:dec|december|dez|dezember|déc|décembre|dic|diciembre|dicembre|dezembro|des|desember)\.?($|[^\pL])', '\1m12\2');
create macro normalize_date(v) as regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
    regexp_replace(regexp_replace(v,
    '^(\d{1,2})[. /-]*m(\d+)[. /-]*(\d{4})', '\3-\2-\1'), '^(\d{1,2})[. /-]*m(\d+)[. /-]*(\d\d)($|[ :T])', '20\3-\2-\1\4'),
    '^m(\d+)[. /-]*(\d{1,2})[. /-]+(\d{4})', '\3-\1-\2'), '^(\d{4})[. /-]*m(\d+)[. /-]*(\d{1,2})', '\1-\2-\3'),
    '^(\d{4})[-/.] ?(\d{1,2})[-/.] ?(\d{1,2})\.?', '\1-\2-\3'), '^(\d{4}) (\d{1,2}) (\d{1,2})($| )', '\1-\2-\3\4'),
    '^(\d{1,2})[-/.] ?(\d{1,2})[-/.] ?(\d{4})', '\1/\2/\3'), '^(\d{1,2})[-/.] ?(\d{1,2})[-/.] ?(\d\d)($|[ T])', '\1/\2/20\3\4');
create macro separate_time(v) as regexp_replace(v, '^(\d+[/-]\d+[/-]\d+)[T:]+(\d)', '\1 \2');

create macro normalize_timestamp_text(v) as normalize_utc_offset(replace_zone_names(remove_zone_names(normalize_time(separate_time(normalize_date(replace_month_names(replace_mapped_months(
    remove_weekday(remove_filler_words(expand_compact_date(normalize_am_pm(normalize_cjk_date(normalize_whitespace(v))))))))))))));

-- Seconds, milliseconds, microseconds or nanoseconds since 1970, in UTC.
create macro is_unix_time(v) as regexp_matches(v, '^1(\d{9}([.,]\d+)?|\d{12}|\d{15}|\d{18})$');
create macro format_unix_time(v) as strftime(make_timestamp((try_cast(replace(v, ',', '.') as decimal(38, 9))
    * case when length(v) = 19 and not contains(v, '.') and not contains(v, ',') then 0.001
        when length(v) = 16 and not contains(v, '.') and not contains(v, ',') then 1
        when length(v) = 13 and not contains(v, '.') and not contains(v, ',') then 1000 else 1000000 end)::bigint),
    '%Y-%m-%d %H:%M:%S.%f') || '+00:00';
create macro format_week_date(v) as strftime(coalesce(try_strptime(substr(v, 1, 10), '%G-W%V-%u'), try_strptime(substr(v, 1, 8), '%GW%V%u'),
    try_strptime(substr(v, 1, 8), '%Y-%j')), '%Y-%m-%d') || regexp_extract(v, '^(\d{4}-W\d\d-\d|\d{4}W\d\d\d|\d{4}-\d{3})(.*)$', 2);

create macro normalize_timestamp(v) as case
    when is_normalized_timestamp(v) then v
    when is_unix_time(v) then format_unix_time(v)
    else normalize_timestamp_text(case when regexp_matches(v, '^\d{4}-?(W\d\d-?[1-7]|\d{3})($|[T ]\d)') then coalesce(format_week_date(v), v) else v end) end;

create macro parse_serial_date(v) as case when length(v) >= 5 and substr(v, 6, 1) in ('', '.', ',') then
    try_cast(replace(v, ',', '.') as double) end;
create macro is_serial_date(v) as coalesce(parse_serial_date(v) between 20000 and 80000, false);
create macro is_day_only(v) as not contains(v, ':') and (not is_serial_date(v) or parse_serial_date(v) = floor(parse_serial_date(v)));
create macro has_offset(v) as regexp_matches(v, ':\d{2}(\.\d+)?( [AP]M)?(Z|[+-]\d{2}:\d{2})$');
create macro is_numeric_date(v) as regexp_matches(v, '^\d{1,2}/\d{1,2}/\d{4}');
create macro first_number(v) as try_cast(regexp_extract(v, '^\d{1,2}') as integer);
create macro second_number(v) as try_cast(regexp_extract(v, '^\d{1,2}/(\d{1,2})', 1) as integer);
create macro infer_date_order(v) as case when is_numeric_date(v) then case
    when first_number(v) > 12 then 'dmy' when second_number(v) > 12 then 'mdy' else 'either' end end;

create macro put_year_first(v, day_first) as case when not is_numeric_date(v) then v
    when day_first then regexp_replace(v, '^(\d{1,2})/(\d{1,2})/(\d{4})', '\3-\2-\1')
    else regexp_replace(v, '^(\d{1,2})/(\d{1,2})/(\d{4})', '\3-\1-\2') end;
create macro parse_iso_timestamp(v) as case
    when contains(v, 'M') then try_strptime(v, ['%Y-%m-%d %I:%M:%S %p', '%Y-%m-%d %I:%M %p', '%Y-%m-%d %I:%M:%S.%f %p'])
    when regexp_matches(v, '^\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?$') then try_cast(v as timestamp) end;
create macro parse_local_time(v, day_first, date_origin) as case
    when is_serial_date(v) then date_origin + to_seconds(round(parse_serial_date(v) * 86400)::bigint)
    else parse_iso_timestamp(put_year_first(regexp_replace(v, '(Z|[+-]\d{2}:\d{2})$', ''), day_first)) end;
create macro offset_minutes(v) as case when v[-1] = 'Z' then 0 else (case when v[-6] = '-' then -1 else 1 end)
    * (try_cast(v[-5:-4] as integer) * 60 + try_cast(right(v, 2) as integer)) end;

-- The time in UTC: by the offset in the text; for a date alone, midnight at the site; otherwise by the file's time zone.
create macro parse_timestamp(v, day_first, date_origin, file_zone, site_zone) as case
    when has_offset(v) then parse_local_time(v, day_first, date_origin) - to_minutes(offset_minutes(v))
    else timezone('UTC', timezone(case when is_day_only(v) then site_zone else file_zone end, parse_local_time(v, day_first, date_origin))) end;
