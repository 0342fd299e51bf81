-- log_unpublished tells it.
drop function relay_backlog();
