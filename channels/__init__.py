"""One module a medium. A kind exists because its module stands here: there is no list to extend."""
