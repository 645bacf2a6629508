-- requires-extension: vector
-- Where that extension is not to be had this file is passed over, and tried again at the next start.

create extension if not exists vector;
