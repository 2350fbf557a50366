local unpack = table.unpack or unpack
local function lcg(seed) local s=seed return function() s=(s*1103515245+12345)%2147483648 return s end end
local r=lcg(42)
local t={} for i=1,5000 do t[i]=r()/1e3 end
table.sort(t) for i=1,5000,500 do io.write(string.format("%.17g %g %e %5.3f\n",t[i],t[i],t[i],t[i])) end
table.sort(t,function(a,b) return a>b end) print(t[1],t[5000])
for _,v in ipairs{0.1,1/3,1e308*10,-1e308*10,0/0 ~= 0/0,5e-324,2^53,2^63,-0.0,1e15,1e16,123456789012345678} do print(v, type(v)=="number" and string.format("%.14g|%.3f|%a|%+.1e|%10.4g|",v,v%1==0 and v or v,v,v,v)) end
local cs={} for i=1,10 do local n=i cs[i]=function() n=n+i return n end end
for i=1,10 do cs[i]() io.write(cs[i]()," ") end print()
local s={} for w in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do s[#s+1]=w:upper():reverse() end print(table.concat(s,","))
print(("hello world"):gsub("o","0"), ("key=val"):match("(%w+)=(%w+)"))
print(pcall(error,{code=1}), select('#',1,nil,nil), tostring(nil))
local co=coroutine.wrap(function(a) for i=1,5 do a=coroutine.yield(a*i) end return "done" end)
print(co(1),co(2),co(3),co(4),co(5),co(6))
print(math.sin(1),math.exp(1),math.log(10),math.floor(-3.5),math.fmod(-7,3),-7%3,math.huge,2^0.5)
local mt=setmetatable({},{__index=function(t,k) return k.."!" end,__call=function(self,x) return x*2 end,__add=function(a,b) return 7 end})
print(mt.foo,mt(21),mt+1)
local x=0 for i=1,2000000 do x=(x+i*i)%1000003 end print(x)
local f=0 for i=1,1000000 do f=f+math.sqrt(i)*1.0001^(i%7) end print(string.format("%.17g",f))
local b={} for i=1,20000 do b[#b+1]=string.format("%d:%s",i,string.rep("x",i%5)) end local c=table.concat(b) print(#c,c:sub(-40))
for i=1,20000 do t[("k"..i%977)]=(t[("k"..i%977)] or 0)+i end print(t.k0,t.k976)
print(string.byte("A"),string.char(72,105),#("\0abc"),tostring(1e100),tonumber("0x1p4"),tonumber("  12  "),tonumber("z",36))
