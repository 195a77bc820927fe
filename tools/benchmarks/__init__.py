"""What each bundle is measured on."""
