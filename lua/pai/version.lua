-- The version of pai, in one place.
return "0.1.0"
