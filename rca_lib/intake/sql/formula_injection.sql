-- A spreadsheet may run text as a formula, even after blanks, line ends, zero-width characters and apostrophes, and in full
-- width. escape_formula adds an apostrophe; unescape_formula removes it when a quarantine file is ingested again.
create or replace macro is_formula(v) as regexp_matches(v, '^''*[\t\r\n]|^[''\s\x{00}-\x{20}\x{a0}\x{ad}\x{1680}\x{2000}-\x{200f}\x{2028}-\x{202f}'
    || '\x{205f}-\x{2064}\x{3000}\x{feff}]*[=+@\-＝＋－＠﹢﹣﹦﹫−]');
create or replace macro escape_formula(v) as case
    when is_formula(v) and not regexp_matches(v, '^[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?$') then '''' || v else v end;
create or replace macro unescape_formula(v) as case when starts_with(v, '''') and is_formula(substr(v, 2)) then substr(v, 2) else v end;
