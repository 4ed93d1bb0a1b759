#!/usr/bin/perl
# webhook.pl FILE [PORT] - a receiver of webhooks for tests.
#
# Listens on 127.0.0.1 (PORT, or one that the kernel chooses), prints the port, and writes each request as one line of
# JSON to FILE: {"time":…,"method":…,"path":…,"status":…,"headers":{…},"body":…}; a body that is JSON stands there as it is.
# It answers 200, or what the file FILE.answer says: "STATUS" or "STATUS SECONDS" (seconds to wait before the answer;
# status 0 closes the connection without one). Needs nothing but perl-base.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my ($file, $port) = @ARGV;
die "usage: webhook.pl FILE [PORT]\n" unless defined $file;
$| = 1;
$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = 'IGNORE';
my $stop = 0;
$SIG{TERM} = $SIG{INT} = sub { $stop = 1 };

my $server = IO::Socket::INET->new(
    LocalAddr => '127.0.0.1',
    LocalPort => $port || 0,
    Listen    => 64,
    ReuseAddr => 1,
) or die "cannot listen: $@\n";
open my $out, '>>', $file or die "$file: $!\n";
$out->autoflush(1);
print $server->sockport, "\n";

sub quoted {
    my ($s) = @_;
    $s =~ s/(["\\])/\\$1/g;
    $s =~ s/([\x00-\x1f\x7f])/sprintf '\\u%04x', ord $1/ge;
    return "\"$s\"";
}

sub answer {
    open my $f, '<', "$file.answer" or return (200, 0);
    my ($status, $seconds) = split ' ', (scalar(<$f>) // '');
    return ($status // 200, $seconds // 0);
}

sub serve {
    my ($c) = @_;
    alarm 60;
    my $line = <$c> // return;
    my ($method, $path) = $line =~ m{^(\S+) (\S+) HTTP/} or return;
    my %headers;
    while (defined(my $h = <$c>)) {
        last if $h =~ /^\r?\n$/;
        $headers{ lc $1 } = $2 if $h =~ /^([^:\s]+):\s*(.*?)\s*\r?\n$/;
    }
    my $body = '';
    my $left = $headers{'content-length'} // 0;
    while ($left > 0) {
        my $piece;
        my $n = read $c, $piece, $left;
        return unless $n;
        $body .= $piece;
        $left -= $n;
    }
    my ($status, $seconds) = answer();
    my $json = $body =~ /^\{.*\}$/s && $body !~ /\n/ ? $body : quoted($body);
    my $heads = join ',', map { quoted($_) . ':' . quoted($headers{$_}) } sort keys %headers;
    # one write a line: requests are served by processes side by side
    syswrite $out, sprintf qq({"time":%d,"method":%s,"path":%s,"status":%d,"headers":{%s},"body":%s}\n), time,
        quoted($method), quoted($path), $status, $heads, $json;
    select undef, undef, undef, $seconds if $seconds;
    return unless $status;
    print $c "HTTP/1.1 $status Answer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
}

my $ready = IO::Select->new($server);
while (!$stop) {
    next unless $ready->can_read(0.5);
    my $c = $server->accept or next;
    my $pid = fork;
    die "cannot fork: $!\n" unless defined $pid;
    if (!$pid) {
        $SIG{TERM} = $SIG{INT} = 'DEFAULT';
        serve($c);
        exit 0;
    }
    close $c;
}
