//! A client of Quire's services.
